import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Unavailable } from '../../src/common/domain-error.js';
import { ClientGuard } from '../../src/oauth/client.guard.js';
import type { ServiceClient } from '../../src/oauth/service-client.entity.js';
import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import { BearerGuard } from '../../src/tokens/bearer.guard.js';
import { RevocationRepository } from '../../src/tokens/revocation.repository.js';
import { UserRepository } from '../../src/users/user.repository.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { metric } from '../support/metrics.js';
import { makeService, type Service } from '../support/service-client.js';

// Every request of a route passes its guard, and what is answered before the route passes none.
const bearerGuard = vi.spyOn(BearerGuard.prototype, 'canActivate');
const clientGuard = vi.spyOn(ClientGuard.prototype, 'canActivate');

let gatehouse: Gatehouse;
let service: Service;
let token: string;
beforeAll(async () => {
  gatehouse = await startGatehouse({ TRUST_PROXY: '1', RATE_LIMITS: 'on', RATE_LIMIT_INTROSPECTION: '500/3600' });
  service = await makeService(gatehouse);
});
afterAll(async () => {
  await gatehouse.stop();
  vi.restoreAllMocks();
});
afterEach(() => vi.clearAllMocks());

/** What comes back for these bytes, sent one part after the other: the head, and the body if there is one. */
async function exchange(...parts: string[]): Promise<{ status: number; head: string[]; body: string }> {
  const socket = connect(Number(new URL(gatehouse.origin).port), '127.0.0.1').setNoDelay(true);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  for (const [i, part] of parts.entries()) {
    if (i > 0) await sleep(50);
    socket.write(part);
  }
  await once(socket, 'end');
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head: head.split('\r\n'), body };
}

const CLOSE = 'Connection: close\r\n\r\n';
const HOST = 'Host: gatehouse\r\n';
const bearer = (value = token) => `Authorization: Bearer ${value}\r\n`;
const get = (path: string, headers: string) => exchange(`GET ${path} HTTP/1.1\r\n${headers}${CLOSE}`);
const verify = (headers = HOST + bearer()) => get('/auth/verify', headers);

function introspectionOf(body: string, type = 'application/x-www-form-urlencoded', authorization = service.basic) {
  const headers = `${HOST}Authorization: ${authorization}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n`;
  return [`POST /oauth/introspect HTTP/1.1\r\n${headers}${CLOSE}`, body] as const;
}
const introspect = (...args: Parameters<typeof introspectionOf>) => exchange(introspectionOf(...args).join(''));

/** Two answers differ in these alone. */
const comparable = (head: string[]) => head.filter((line) => !/^(date|x-request-id):/i.test(line));

/** A token that this instance has seen, and a client and a piece of its budget that it knows. */
async function prepare(): Promise<void> {
  ({ access_token: token } = await gatehouse.signUpAndLogIn());
  await gatehouse.get('/auth/verify', { token });
  await service.introspect(token);
  vi.clearAllMocks();
}

describe('GET /auth/verify', () => {
  beforeAll(prepare);

  test('is answered before the route, as the route answers', async () => {
    const short = await verify();
    expect(bearerGuard).not.toHaveBeenCalled();
    const long = await get('/auth/verify?', HOST + bearer());
    expect(bearerGuard).toHaveBeenCalledTimes(1);
    expect(short.status).toBe(204);
    expect(comparable(short.head)).toEqual(comparable(long.head));
    expect(short.body).toBe('');
  });

  test('has a line in the access log, its request id and its place in the metrics, as the route has', async () => {
    const name = 'gatehouse_http_request_duration_seconds_count{method="GET",route="/auth/verify",status="204"}';
    const before = await metric(gatehouse, name);
    const id = '0190c0de-0000-7000-8000-000000000001';
    const lines: Record<string, unknown>[] = [];
    for (const path of ['/auth/verify', '/auth/verify?']) {
      const headers = `${HOST}${bearer()}X-Request-Id: ${id}\r\nX-Forwarded-For: 192.0.2.1, 203.0.113.7\r\n`;
      const { head } = await get(path, headers);
      expect(head).toContain(`x-request-id: ${id}`);
      lines.push(JSON.parse(gatehouse.logLines.at(-1) as string) as Record<string, unknown>);
    }
    expect(bearerGuard).toHaveBeenCalledTimes(1);
    expect(lines[0]).toMatchObject({ event: 'http_request', request_id: id, ip: '203.0.113.7', status: 204 });
    const constant = ({ time: _, duration_ms: __, ...line }: Record<string, unknown>) => line;
    expect(constant(lines[0] as object as never)).toEqual(constant(lines[1] as object as never));
    expect(await metric(gatehouse, name)).toBe(before + 2);
  });

  test.each<[string, () => Promise<{ status: number }>, number]>([
    ['a body', () => get('/auth/verify', `${HOST}${bearer()}Content-Length: 0\r\n`), 204],
    ['HTTP/1.0', () => exchange(`GET /auth/verify HTTP/1.0\r\n${HOST}${bearer()}${CLOSE}`), 204],
    ['an expectation', () => get('/auth/verify', `${HOST}${bearer()}Expect: nothing\r\n`), 204],
    ['an absolute address', () => get('http://gatehouse/auth/verify', HOST + bearer()), 204],
    ['no token', () => verify(HOST), 401],
    ['another scheme', () => verify(`${HOST}Authorization: Basic ${token}\r\n`), 401],
    ['a token with a wrong signature', () => verify(HOST + bearer(`${token.slice(0, -4)}AAAA`)), 401],
    ['two hosts', () => verify(HOST + HOST + bearer()), 400],
    ['two tokens', () => verify(HOST + bearer() + bearer()), 400],
    ['another method', () => exchange(`POST /auth/verify HTTP/1.1\r\n${HOST}${bearer()}${CLOSE}`), 405],
  ])('with %s is left to the route', async (_, send, status) => {
    expect((await send()).status).toBe(status);
    const isRefusedEarlier = status === 400 || status === 405;
    expect(bearerGuard).toHaveBeenCalledTimes(isRefusedEarlier ? 0 : 1);
  });

  test('of an unknown token is left to the route once', async () => {
    ({ access_token: token } = await gatehouse.signUpAndLogIn());
    vi.clearAllMocks();
    for (let i = 0; i < 3; i++) expect((await verify()).status).toBe(204);
    expect(bearerGuard).toHaveBeenCalledTimes(1);
  });

  test('is 503 by the route when the table does not answer, which is asked once', async () => {
    const table = vi.spyOn(gatehouse.app.get(RevocationRepository), 'findRevoked');
    table.mockRejectedValueOnce(new Error('the database is away'));
    const { status, body } = await verify();
    expect([status, JSON.parse(body).code]).toEqual([503, 'unavailable']);
    expect(table).toHaveBeenCalledTimes(1);
    table.mockRestore();
    expect((await verify()).status).toBe(204);
  });

  test('tells of no answer when the client has gone', async () => {
    const name = 'gatehouse_http_request_duration_seconds_count{method="GET",route="/auth/verify",status="204"}';
    const before = await metric(gatehouse, name);
    const table = vi.spyOn(gatehouse.app.get(RevocationRepository), 'findRevoked');
    let answerIt = (_: boolean[]) => {};
    table.mockImplementationOnce(() => new Promise((resolve) => (answerIt = resolve)));
    const socket = connect(Number(new URL(gatehouse.origin).port), '127.0.0.1');
    socket.write(`GET /auth/verify HTTP/1.1\r\n${HOST}${bearer()}\r\n`);
    await vi.waitFor(() => expect(table).toHaveBeenCalled());
    socket.destroy();
    await sleep(100);
    answerIt([false]);
    await sleep(20);
    expect(await metric(gatehouse, name)).toBe(before);
    table.mockRestore();
  });

  test('is 401 by the route when its time is over, and at once after a logout, for which the table is asked once', async () => {
    gatehouse.passSeconds(301);
    expect((await verify()).status).toBe(401);
    gatehouse.passSeconds(-301);
    expect((await verify()).status).toBe(204);
    await gatehouse.post('/auth/logout', undefined, { token });
    const table = vi.spyOn(gatehouse.app.get(RevocationRepository), 'findRevoked');
    const { status, head } = await verify();
    expect(status).toBe(401);
    expect(head.join('\n')).toMatch(/^www-authenticate: Bearer /im);
    expect(table).toHaveBeenCalledTimes(1);
    table.mockRestore();
  });
});

describe('GET /users/me', () => {
  beforeAll(prepare);

  test('is answered before the route, as the route answers', async () => {
    const short = await get('/users/me', HOST + bearer());
    expect(bearerGuard).not.toHaveBeenCalled();
    const long = await get('/users/me?', HOST + bearer());
    expect(bearerGuard).toHaveBeenCalledTimes(1);
    expect(JSON.parse(short.body)).toMatchObject({ email: expect.stringContaining('@'), email_verified: false });
    expect(short.body).toBe(long.body);
    expect(comparable(short.head)).toEqual(comparable(long.head));
  });

  test('tells of the account as it is now, also where it is not ASCII', async () => {
    const sub = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sub as string;
    await gatehouse.sql('UPDATE users SET email = ? WHERE id = ?', ['ada@bücher.example', sub]);
    const { body, head } = await get('/users/me', HOST + bearer());
    const { email } = JSON.parse(Buffer.from(body, 'latin1').toString());
    expect(email).toBe('ada@bücher.example');
    expect(head).toContain(`content-length: ${body.length}`);
    expect(bearerGuard).not.toHaveBeenCalled();
  });

  test('is refused by the route after a logout, and for an account that is gone', async () => {
    await gatehouse.post('/auth/logout', undefined, { token });
    expect((await get('/users/me', HOST + bearer())).status).toBe(401);
    await prepare();
    const profile = vi.spyOn(gatehouse.app.get(UserRepository), 'findProfile').mockResolvedValue(undefined);
    expect((await get('/users/me', HOST + bearer())).status).toBe(401);
    profile.mockRejectedValue(new Unavailable('users', 1));
    expect((await get('/users/me', HOST + bearer())).status).toBe(503);
    expect(profile).toHaveBeenCalledTimes(2); // once for each: nobody waits twice for a table
    profile.mockRestore();
    expect((await get('/users/me', HOST + bearer())).status).toBe(200);
  });
});

/** A plain introspection. Clients are read once a second: one may be too new, or that second pass between two requests. */
async function plainly(...args: Parameters<typeof introspectionOf>): ReturnType<typeof introspect> {
  for (let attempt = 1; attempt < 20; attempt++) {
    await sleep(attempt > 1 ? 100 : 0);
    await service.introspect(token);
    vi.clearAllMocks();
    const answer = await introspect(...args);
    if (clientGuard.mock.calls.length === 0) return answer;
  }
  throw new Error('every one was left to the route');
}

describe('POST /oauth/introspect', () => {
  beforeAll(prepare);

  test('is answered before the route, as the route answers', async () => {
    const short = await plainly(`token=${token}&token_type_hint=access_token`);
    const long = await introspect(`token=${token}&another=parameter`);
    expect(clientGuard).toHaveBeenCalledTimes(1);
    expect(JSON.parse(short.body)).toMatchObject({ active: true, token_type: 'Bearer' });
    expect(short.body).toBe(long.body);
    expect(comparable(short.head)).toEqual(comparable(long.head));
  });

  test('counts the client and its budget', async () => {
    const name = 'gatehouse_client_authentications_total{result="success"}';
    const before = await metric(gatehouse, name);
    let counted = 0;
    let status = 0;
    while (status !== 429) {
      ({ status } = await introspect(`token=${token}`));
      counted++;
    }
    expect(await metric(gatehouse, name)).toBe(before + counted);
    expect(counted).toBeGreaterThan(450); // of 500; some were used before
    expect(counted).toBeLessThanOrEqual(500);
    expect(clientGuard.mock.calls.length).toBeLessThan(counted / 2); // an instance takes five at a time
    service = await makeService(gatehouse);
    await prepare();
  });

  test.each<[string, () => Promise<{ status: number; body: string }>, number, RegExp]>([
    ['a body that comes late', () => exchange(...introspectionOf(`token=${token}`)), 200, /"active":true/],
    ['a body that comes in halves', () => inHalves(), 200, /"active":true/],
    ['a charset that is none of ours', () => introspect('token=x', `${FORM}; charset=latin1`), 415, /invalid_request/],
    ['no form', () => introspect('{}', 'application/json'), 415, /invalid_request/],
    ['a token twice', () => introspect(`token=${token}&token=${token}`), 400, /invalid_request/],
    ['a body that is no UTF-8', () => introspect('token=%ff'), 400, /invalid_request/],
    ['no token', () => introspect('token_type_hint=access_token'), 400, /invalid_request/],
    ['a token that is none', () => introspect('token=x'), 200, /^\{"active":false\}$/],
    ['a secret in the body', () => introspect(`token=${token}&client_secret=x`), 401, /invalid_client/],
    ['a wrong secret', () => introspect(`token=${token}`, FORM, wrongSecret()), 401, /invalid_client/],
    ['credentials that are none', () => introspect(`token=${token}`, FORM, 'Basic !'), 401, /invalid_client/],
  ])('with %s is left to the route', async (_, send, status, text) => {
    const answer = await send();
    expect([answer.status, answer.body]).toEqual([status, expect.stringMatching(text)]);
    if (status !== 415 && !/twice|UTF-8/.test(answer.body)) expect(clientGuard).toHaveBeenCalledTimes(1);
  });

  const FORM = 'application/x-www-form-urlencoded';
  const wrongSecret = () => `Basic ${Buffer.from(`${service.id}:${'x'.repeat(43)}`).toString('base64')}`;
  const inHalves = () => {
    const whole = introspectionOf(`token=${token}`).join('');
    return exchange(whole.slice(0, -20), whole.slice(-20));
  };

  test('of a form that names its charset is plain too', async () => {
    for (const type of [`${FORM};charset=UTF-8`, `${FORM}; charset=utf-8`]) {
      expect((await plainly(`token=${token}`, type)).status).toBe(200);
    }
  });

  test('is 503 by the route when the table does not answer, which is asked once', async () => {
    const name = 'gatehouse_client_authentications_total{result="success"}';
    await plainly(`token=${token}`);
    const before = await metric(gatehouse, name);
    const table = vi.spyOn(gatehouse.app.get(RevocationRepository), 'findRevoked');
    table.mockRejectedValueOnce(new Unavailable('revocation_lookup', 1));
    const { status, body } = await introspect(`token=${token}`);
    expect([status, JSON.parse(body).error]).toEqual([503, 'temporarily_unavailable']);
    expect(table).toHaveBeenCalledTimes(1);
    expect(await metric(gatehouse, name)).toBe(before + 1);
    table.mockRestore();
  });

  test('is inactive at once after a logout, and for a client of another audience', async () => {
    const other = await makeService(gatehouse, ['https://elsewhere.example.com']);
    for (let i = 0; i < 2; i++) expect((await other.introspect(token)).text).toBe('{"active":false}');
    await gatehouse.post('/auth/logout', undefined, { token });
    for (const send of [plainly, introspect]) {
      const { status, body } = await send(`token=${token}`);
      expect([status, body]).toEqual([200, '{"active":false}']);
    }
  });

  test('ends for a client that is disabled within a second', async () => {
    await prepare();
    const clients = gatehouse.app.get(ServiceClientService);
    await clients.disable((await clients.find(service.id)) as ServiceClient, { type: 'operator', id: 'tester' });
    await sleep(1_100);
    expect((await introspect(`token=${token}`)).status).toBe(401);
  });
});
