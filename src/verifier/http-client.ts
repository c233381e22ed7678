import * as http from 'node:http';
import * as https from 'node:https';

const BODY_TIMEOUT_MS = 60_000;

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  body?: string;
  /** Until the answer begins; its body may take a minute more. */
  timeoutMs: number;
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
  read(maxOctets: number): Promise<string>;
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
      const answer = await (this.fetch
        ? overFetch(this.fetch, request, controller.signal)
        : this.overNode(request, controller.signal));
      clearTimeout(timer);
      timer = abortAfter(controller, BODY_TIMEOUT_MS);
      const body = await answer.read(request.maxOctets);
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
      return { status: statusCode, retryAfter: answered['retry-after'], read: (max) => textOf(response, max) };
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
  return { status: response.status, retryAfter: response.headers.get('retry-after'), read: () => response.text() };
}

async function textOf(response: http.IncomingMessage, maxOctets: number): Promise<string> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > maxOctets) throw new Error(`the answer has more than ${maxOctets} octets`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
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
