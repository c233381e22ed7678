import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What the service does with who asks: answers; waits for `release`; says nothing at all; begins an answer and goes on for
 * ever; hangs up; answers with this status, these headers and this text.
 */
export type RangeBehaviour =
  | 'answer'
  | 'hold'
  | 'silent'
  | 'trickle'
  | 'drop'
  | { status?: number; headers?: Record<string, string>; text?: string };

export interface RangeRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
}

const sha1 = (password: string) => createHash('sha1').update(password.normalize('NFC')).digest('hex').toUpperCase();

/** The five hex digits that may be asked about, and the rest. */
export function splitDigest(password: string): { prefix: string; suffix: string } {
  const digest = sha1(password);
  return { prefix: digest.slice(0, 5), suffix: digest.slice(5) };
}

/** A real Pwned Passwords range service inside the test process. */
export class RangeService {
  readonly requests: RangeRequest[] = [];
  /** May be changed at any time; holds for what comes from then on. */
  behaviour: RangeBehaviour = 'answer';
  private readonly counts = new Map<string, number>();
  private readonly news = new EventEmitter();
  private readonly server = createServer((request, response) => this.take(request, response));

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/range/`;
  }

  /** From now on the password is known, seen so many times; 0 makes it padding. */
  breach(password: string, count = 1): void {
    this.counts.set(sha1(password), count);
  }

  /** Answers what is held, and does not hold what comes. */
  release(): void {
    this.behaviour = 'answer';
    this.news.emit('release');
  }

  async waitForRequests(count: number): Promise<void> {
    while (this.requests.length < count) await once(this.news, 'request');
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private take({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): void {
    this.requests.push({ method, path: url, headers });
    this.news.emit('request');
    const answer = () => response.end(this.rangeOf(url.split('/').at(-1) ?? ''));
    const { behaviour } = this;
    if (behaviour === 'answer') answer();
    else if (behaviour === 'hold') this.news.once('release', answer);
    else if (behaviour === 'trickle') trickle(response);
    else if (behaviour === 'drop') response.destroy();
    else if (behaviour !== 'silent') response.writeHead(behaviour.status ?? 200, behaviour.headers).end(behaviour.text);
  }

  /** Among others, as the real one has them; CRLF between the lines and none at the end. */
  private rangeOf(prefix: string): string {
    const known = [...this.counts].filter(([digest]) => digest.startsWith(prefix));
    const lines = known.map(([digest, count]) => `${digest.slice(5)}:${count}`);
    return [`${'0'.repeat(35)}:3`, ...lines, `${'F'.repeat(35)}:0`].join('\r\n');
  }
}

function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write(`${'0'.repeat(35)}:1\r\n`), 50);
  response.on('close', () => clearInterval(timer));
}
