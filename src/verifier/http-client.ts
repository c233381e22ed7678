import * as http from 'node:http';
import * as https from 'node:https';

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  body?: string;
  /** Until the answer is here; or, with `bodyTimeoutMs`, until it begins. */
  timeoutMs: number;
  /** How long the rest of it may take then. */
  bodyTimeoutMs?: number | undefined;
  maxOctets: number;
}

export interface HttpAnswer {
  status: number;
  retryAfterSeconds: number;
  body: string;
}

/** An answer that has begun. */
interface Beginning {
  status: number;
  retryAfter: string | null | undefined;
  body: AsyncIterable<Uint8Array> | null;
}

/**
 * Sends requests. Its sockets do not keep the process alive (with a `fetch` that was given they do: nobody can reach them).
 * Follows no redirect: a client secret goes where it was meant to and nowhere else.
 */
export class HttpClient {
  private readonly active = new Set<AbortController>();
  private readonly agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  };
  private isClosed = false;

  constructor(private readonly fetch?: typeof globalThis.fetch) {}

  /** @throws Error when there is no whole answer in time. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    if (this.isClosed) throw new Error('closed');
    const controller = new AbortController();
    this.active.add(controller);
    let timer = abortAfter(controller, request.timeoutMs);
    try {
      const { signal } = controller;
      const answer = await unlessAborted(
        signal,
        this.fetch ? overFetch(this.fetch, request, signal) : this.overNode(request, signal),
      );
      if (request.bodyTimeoutMs !== undefined) {
        clearTimeout(timer);
        timer = abortAfter(controller, request.bodyTimeoutMs);
      }
      const body = await unlessAborted(signal, textOf(answer.body, request.maxOctets));
      return { status: answer.status, retryAfterSeconds: secondsOf(answer.retryAfter), body };
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      clearTimeout(timer);
      controller.abort(); // nothing is left of an answer that was not read to its end
      this.active.delete(controller);
    }
  }

  /** Ends what is under way, and every connection. */
  close(): void {
    this.isClosed = true;
    for (const controller of this.active) controller.abort(new Error('closed'));
    for (const agent of Object.values(this.agents)) agent.destroy();
  }

  private async overNode(request: HttpRequest, signal: AbortSignal, isAgain = false): Promise<Beginning> {
    const protocol = new URL(request.url).protocol as 'http:' | 'https:';
    const { method, url, headers, body } = request;
    const sent = (protocol === 'https:' ? https : http).request(url, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) },
      agent: this.agents[protocol],
      signal,
    });
    sent.on('socket', (socket) => socket.unref());
    try {
      const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
        sent.once('response', resolve);
        sent.on('error', reject);
        sent.end(body);
      });
      const { statusCode = 0, headers: answered } = response;
      return { status: statusCode, retryAfter: answered['retry-after'], body: response };
    } catch (error) {
      // The server may have closed an idle connection at the moment we used it. All our requests may be repeated.
      if (sent.reusedSocket && !isAgain && !signal.aborted) return this.overNode(request, signal, true);
      throw error;
    }
  }
}

async function overFetch(
  send: typeof globalThis.fetch,
  { method, url, headers, body }: HttpRequest,
  signal: AbortSignal,
): Promise<Beginning> {
  const response = await send(url, { method, headers, ...(body !== undefined && { body }), redirect: 'error', signal });
  return { status: response.status, retryAfter: response.headers.get('retry-after'), body: response.body };
}

async function textOf(body: AsyncIterable<Uint8Array> | null, maxOctets: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let octets = 0;
  for await (const chunk of body ?? []) {
    octets += chunk.length;
    if (octets > maxOctets) throw new Error(`the answer has more than ${maxOctets} octets`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A `fetch` that was given may know nothing of signals. */
function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  return Promise.race([work, aborted]);
}

function abortAfter(controller: AbortController, timeoutMs: number): NodeJS.Timeout {
  return setTimeout(() => controller.abort(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs).unref();
}

/** `Retry-After` in seconds; a date, which Gatehouse never sends, counts as none. */
function secondsOf(retryAfter: string | null | undefined): number {
  return /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) : 0;
}

/** `Authorization: Basic` (RFC 6749, section 2.3.1: both parts form-encoded first). */
export function basicCredentials({ clientId, clientSecret }: { clientId: string; clientSecret: string }): string {
  const encoded = [clientId, clientSecret].map((part) => new URLSearchParams([['', part]]).toString().slice(1));
  return `Basic ${Buffer.from(encoded.join(':')).toString('base64')}`;
}

/** Keeps the process alive until `work` is settled: somebody waits for it. */
export async function keepAlive<T>(work: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, 2 ** 30);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}
