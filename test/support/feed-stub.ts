import { CompactSign } from 'jose';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { keyPair } from './key-pair.js';

export interface StubKey {
  kid: string;
  privateKey: KeyObject;
  jwk: Record<string, unknown>;
}

export interface StubEntry {
  kind: string;
  value: string;
  expires_at: number;
  not_before?: number;
}

export function stubKey(kid: string): StubKey {
  const { publicKey, privateKey } = keyPair();
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } };
}

export function sign(payload: object, key: StubKey, header: object = {}): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: key.kid, ...header })
    .sign(key.privateKey);
}

/** Plays the part of Gatehouse that a verifier sees: the JWKS, the feed, introspection. Over HTTP, on a port of its own. */
export class FeedStub {
  readonly requests: { path: string; query: URLSearchParams; authorization: string | undefined; body: string }[] = [];
  readonly id = { clientId: 'svc:1', clientSecret: 'a secret: 50% &c' };
  signer = stubKey('key-1');
  listed = [this.signer];
  epoch = 'epoch--1';
  entries: StubEntry[] = [];
  /** Of the first entry that is not forgotten. */
  floor = 0;
  /** Milliseconds since the epoch; may be another clock than the verifier's. */
  now = 1_800_000_000_000;
  /** How long a second of `wait` takes, in milliseconds. */
  secondMs = 1000;
  /** Takes a request; true when it has been answered, or never will be. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean> = () => false;
  introspect: (token: string) => object = () => ({ active: false });
  url = '';
  private readonly waiting = new Set<() => void>();
  private server!: Server;

  static async start(): Promise<FeedStub> {
    const stub = new FeedStub();
    stub.server = createServer((request, response) => void stub.answer(request, response));
    stub.server.listen(0, '127.0.0.1');
    await once(stub.server, 'listening');
    stub.url = `http://127.0.0.1:${(stub.server.address() as AddressInfo).port}`;
    return stub;
  }

  get cursor(): string {
    return `${this.epoch}.${this.floor + this.entries.length}`;
  }

  get isWaitedFor(): boolean {
    return this.waiting.size > 0;
  }

  revoke(kind: string, value: string, more: Partial<StubEntry> = {}): void {
    this.entries.push({ kind, value, expires_at: Math.floor(this.now / 1000) + 900, ...more });
    this.wake();
  }

  /** Breaks every connection, and those to come. */
  cut(): void {
    this.intercept = (request) => {
      request.socket.destroy();
      return true;
    };
    this.server.closeAllConnections();
    this.wake();
  }

  mend(): void {
    this.intercept = () => false;
  }

  to(path: string): FeedStub['requests'] {
    return this.requests.filter((request) => request.path === path);
  }

  /** How many sockets are open at our side. */
  get connections(): Promise<number> {
    return promisify(this.server.getConnections.bind(this.server))();
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.wake();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** What the feed says after a cursor. */
  page(since?: string | null): Record<string, unknown> {
    const [epoch, position] = (since ?? '').split('.');
    const full = epoch !== this.epoch || Number(position) < this.floor;
    const entries = full ? this.entries : this.entries.slice(Number(position) - this.floor);
    return { issuer: this.url, cursor: this.cursor, as_of: Math.floor(this.now / 1000), full, entries };
  }

  /** The answer to who asks from a cursor. */
  answerTo(since?: string | null): Promise<string> {
    const page = this.page(since);
    return this.signed(page, page['full'] ? {} : { since });
  }

  /** A signed answer. */
  signed(page: object, header: object = {}): Promise<string> {
    return sign(page, this.signer, { typ: 'revocations+jwt', ...header });
  }

  /** An access token, good for five minutes. */
  token(claims: Record<string, unknown> = {}, key = this.signer): Promise<string> {
    const iat = Math.floor(this.now / 1000);
    const ids = { sub: 'user-1', client_id: 'first-party', jti: `jti-${Math.random()}`, sid: 'session-1' };
    return sign({ iss: this.url, aud: 'api', ...ids, iat, exp: iat + 300, auth_time: iat, ...claims }, key);
  }

  private wake(): void {
    for (const done of [...this.waiting]) done();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url as string, this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    this.requests.push({ path: pathname, query: searchParams, authorization: request.headers.authorization, body });
    if (await this.intercept(request, response)) return;
    if (pathname === '/.well-known/jwks.json') {
      response.end(JSON.stringify({ keys: this.listed.map(({ jwk }) => jwk) }));
      return;
    }
    const { clientId, clientSecret } = this.id;
    const encoded = [clientId, clientSecret].map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join(':');
    if (request.headers.authorization !== `Basic ${Buffer.from(encoded).toString('base64')}`) {
      response.writeHead(401).end('{"error":"invalid_client"}');
    } else if (pathname === '/oauth/revocations') {
      await this.news(searchParams.get('since'), Number(searchParams.get('wait') ?? 0));
      response.end(await this.answerTo(searchParams.get('since')));
    } else {
      response.end(JSON.stringify(this.introspect(new URLSearchParams(body).get('token') ?? '')));
    }
  }

  private async news(since: string | null, seconds: number): Promise<void> {
    if (since !== this.cursor || seconds === 0) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, seconds * this.secondMs);
      this.waiting.add(done);
    });
  }
}
