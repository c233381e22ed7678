import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import type { Answer, Gatehouse } from './gatehouse.js';

const ACTOR = { type: 'operator', id: 'tester' } as const;
let made = 0;

/** A registered service that authenticates with its secret. */
export class Service {
  constructor(
    readonly gatehouse: Gatehouse,
    readonly id: string,
    readonly name: string,
    readonly secret: string,
  ) {}

  get basic(): string {
    return basic(this.id, this.secret);
  }

  form(path: string, parameters: Record<string, string>, at = this.gatehouse): Promise<Answer> {
    const headers = { Authorization: this.basic };
    return postForm(at, path, parameters, headers);
  }

  introspect(token: string, at = this.gatehouse): Promise<Answer> {
    return this.form('/oauth/introspect', { token }, at);
  }

  revoke(token: string): Promise<Answer> {
    return this.form('/oauth/revoke', { token });
  }

  /** The payload of the feed's answer. */
  async feed(since?: string, wait = 0, at = this.gatehouse): Promise<Feed> {
    const query = new URLSearchParams({ ...(since !== undefined && { since }), wait: String(wait) });
    const answer = await at.get(`/oauth/revocations?${query.toString()}`, { headers: { Authorization: this.basic } });
    if (answer.status !== 200) throw new Error(`the feed answered ${answer.status}: ${answer.text}`);
    return JSON.parse(Buffer.from(answer.text.split('.')[1] as string, 'base64url').toString()) as Feed;
  }
}

export interface Feed {
  issuer: string;
  cursor: string;
  as_of: number;
  full: boolean;
  entries: { kind: string; value: string; expires_at: number; not_before?: number }[];
}

export function basic(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}

export function postForm(
  gatehouse: Gatehouse,
  path: string,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return gatehouse.post(path, undefined, {
    raw: new URLSearchParams(parameters).toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
  });
}

/** @param audiences by default that of the tokens. */
export async function makeService(gatehouse: Gatehouse, audiences = [gatehouse.audience]): Promise<Service> {
  const clients = gatehouse.app.get(ServiceClientService);
  const created = await clients.create(`service-${++made}-${process.pid}-${Date.now()}`, audiences, undefined, ACTOR);
  if (created?.secret === undefined) throw new Error('no client was made');
  gatehouse.secrets.add(created.secret);
  return new Service(gatehouse, created.client.id, created.client.name, created.secret);
}
