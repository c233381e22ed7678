import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { JWT_BEARER } from '../../src/oauth/client-credentials.js';
import { ServiceClientRepository } from '../../src/oauth/service-client.repository.js';
import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { keyPair } from '../support/key-pair.js';
import { metric } from '../support/metrics.js';
import { basic, makeService, postForm, type Service } from '../support/service-client.js';

const ACTOR = { type: 'operator', id: 'tester' } as const;

let gatehouse: Gatehouse;
let service: Service;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  service = await makeService(gatehouse);
});
afterAll(() => gatehouse.stop());

const clients = () => gatehouse.app.get(ServiceClientService);
const INACTIVE = '{"active":false}';

async function expectInactive(token: string, as = service): Promise<void> {
  const { status, text } = await as.introspect(token);
  expect([status, text]).toEqual([200, INACTIVE]);
}

// Proves RFC 7662 §2.2, RFC 7662 §4: what is active is told in full, and of everything else nothing but that it is not
describe('a token', () => {
  test('that is an access token is told with its claims', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
    const { status, headers, body } = await service.introspect(token);
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(body).toEqual({ active: true, token_type: 'Bearer', ...claims });
  });

  test('that is a refresh token is told as what it is', async () => {
    const { access_token, refresh_token: token } = await gatehouse.signUpAndLogIn();
    const { sub, sid } = JSON.parse(Buffer.from(access_token.split('.')[1] as string, 'base64url').toString());
    const { body } = await service.introspect(token);
    expect(body).toMatchObject({ active: true, token_type: 'refresh_token', sub, sid, iss: gatehouse.issuer });
    expect(body.exp).toBeGreaterThan(body.iat);
    await gatehouse.post('/auth/refresh', { refresh_token: token });
    await expectInactive(token);
  });

  test('that is none, or not one of ours, is inactive', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const { privateKey } = keyPair();
    const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
    const header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString());
    const foreign = await new SignJWT(claims).setProtectedHeader(header).sign(privateKey);
    for (const one of ['', 'x', 'a.b.c', `${token}x`, token.slice(0, -1), `${token}==`, foreign, 'eyJ'.repeat(2_000)]) {
      await expectInactive(one);
    }
  });

  test('is inactive at once when its session has ended, and when its time is up', async () => {
    const ended = await gatehouse.signUpAndLogIn();
    await gatehouse.post('/auth/logout', undefined, { token: ended.access_token });
    await expectInactive(ended.access_token);
    await expectInactive(ended.refresh_token);
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
    const setClock = gatehouse.stopClock();
    setClock(exp * 1000 - 1);
    expect((await service.introspect(token)).body.active).toBe(true);
    setClock(exp * 1000);
    await expectInactive(token);
  });

  // Proves ASVS 10.3.1: a service is told of the tokens of its audiences alone
  test('is inactive for a client that it is not meant for', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    const other = await makeService(gatehouse, ['https://other.example']);
    await expectInactive(access_token, other);
    await expectInactive(refresh_token, other);
  });
});

// Proves RFC 7662 §2.1, RFC 6749 §5.2, ASVS 13.2.1: only registered services are answered, and in OAuth's form
describe('a request', () => {
  test('without a client, or with a wrong one, is 401 invalid_client', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const disabled = await makeService(gatehouse);
    await clients().disable((await clients().find(disabled.id))!, ACTOR);
    const wrong = [
      undefined,
      'Basic',
      'Basic !',
      `Bearer ${token}`,
      basic(service.id, ''),
      basic(service.id, `${service.secret}x`),
      basic('nobody', service.secret),
      basic('019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51', service.secret),
      `Basic ${Buffer.from('%zz:x').toString('base64')}`,
      disabled.basic,
    ];
    for (const authorization of wrong) {
      const headers: Record<string, string> = authorization === undefined ? {} : { Authorization: authorization };
      const answer = await postForm(gatehouse, '/oauth/introspect', { token }, headers);
      expect(answer.status, authorization).toBe(401);
      expect(answer.headers.get('www-authenticate'), authorization).toBe('Basic realm="gatehouse"');
      expect(answer.headers.get('content-type'), authorization).toMatch(/^application\/json/);
      expect(answer.body, authorization).toEqual({
        error: 'invalid_client',
        error_description: 'Client authentication failed.',
      });
    }
    const inBody = { token, client_id: service.id, client_secret: service.secret };
    expect((await postForm(gatehouse, '/oauth/introspect', inBody)).status).toBe(401);
  });

  test('that cannot be read is 400 invalid_request', async () => {
    const headers = { Authorization: service.basic, 'Content-Type': 'application/x-www-form-urlencoded' };
    for (const raw of ['', 'tok=x', 'token=a&token=b', 'token=%zz', 'token=%ff']) {
      const { status, body } = await gatehouse.post('/oauth/introspect', undefined, { raw, headers });
      expect([status, body.error], raw).toEqual([400, 'invalid_request']);
    }
    const json = await gatehouse.post(
      '/oauth/introspect',
      { token: 'x' },
      { headers: { Authorization: service.basic } },
    );
    expect([json.status, json.body.error]).toEqual([415, 'invalid_request']);
    const large = { raw: `token=${'x'.repeat(9_000)}`, headers };
    const tooLarge = await gatehouse.post('/oauth/introspect', undefined, large);
    expect([tooLarge.status, tooLarge.body.error]).toEqual([413, 'invalid_request']);
  });

  test('is the same request however its address is written', async () => {
    const { hostname, port } = new URL(gatehouse.origin);
    const send = (path: string, type: string, body: string) =>
      new Promise<{ status: number | undefined; body: Record<string, unknown> }>((resolve, reject) => {
        const headers = { Authorization: service.basic, 'Content-Type': type };
        const request = httpRequest({ hostname, port, path, method: 'POST', headers }, (response) => {
          let text = '';
          response.on('data', (chunk) => (text += chunk));
          response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
        });
        request.on('error', reject).end(body);
      });
    for (const path of ['/%6Fauth/introspect', 'http://x.example/oauth/introspect']) {
      const json = await send(path, 'application/json', '{"token":1}');
      expect(json, path).toMatchObject({ status: 415, body: { error: 'invalid_request' } });
      const form = await send(path, 'application/x-www-form-urlencoded', 'token=x');
      expect(form, path).toMatchObject({ status: 200, body: { active: false } });
    }
  });

  test('with a body that is no form is told to send one', async () => {
    const types = ['application/json', 'text/plain', 'application/x-www-form-urlencoded; charset=utf-16'];
    for (const type of types) {
      const headers = { Authorization: service.basic, 'Content-Type': type };
      const { status, body } = await gatehouse.post('/oauth/introspect', undefined, { raw: '{}', headers });
      expect(status, type).toBe(415);
      expect(body.error_description, type).toContain('application/x-www-form-urlencoded');
    }
  });

  test('as a form is refused everywhere else', async () => {
    expect((await postForm(gatehouse, '/auth/login', { email: 'a@example.com', password: 'x' })).status).toBe(415);
  });

  test('with parameters that nobody knows is answered', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const parameters = { token, token_type_hint: 'access_token', resource: 'x', __proto__x: '1' };
    expect((await service.form('/oauth/introspect', parameters)).body.active).toBe(true);
  });

  test('while the database is away is 503, never a yes and never a no', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    await service.introspect(token);
    await gatehouse.sql('ALTER TABLE revocations RENAME TO revocations_away');
    try {
      const { status, headers, body } = await service.introspect(token);
      expect([status, body.error]).toEqual([503, 'temporarily_unavailable']);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      await gatehouse.sql('ALTER TABLE revocations_away RENAME TO revocations');
    }
    expect((await service.introspect(token)).body.active).toBe(true);
  });
});

// Proves ASVS 10.4.10: a secret can be changed without a moment in which none is good, and two are good at most
test('two secrets of a client are good at a time', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const first = await makeService(gatehouse);
  const client = (await clients().find(first.id))!;
  const secrets = [first.secret];
  for (let i = 0; i < 2; i++) secrets.push((await clients().rotateSecret(client, ACTOR)).secret as string);
  const answers = secrets.map((secret) =>
    postForm(gatehouse, '/oauth/introspect', { token }, { Authorization: basic(first.id, secret) }),
  );
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([401, 200, 200]);
  for (const secret of secrets) gatehouse.secrets.add(secret);
  const rows = await gatehouse.sql('SELECT digest FROM client_secrets');
  for (const secret of secrets) expect(JSON.stringify(rows)).not.toContain(secret);
});

// Proves ASVS 10.4.10: a client may sign its requests instead, each of them once
describe('a client that signs', () => {
  const { privateKey, publicKey } = keyPair();
  let id: string;
  let token: string;
  beforeAll(async () => {
    const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] });
    id = (await clients().create(`signer-${process.pid}-${Date.now()}`, [gatehouse.audience], jwks, ACTOR))!.client.id;
    token = (await gatehouse.signUpAndLogIn()).access_token;
  });

  const now = () => Math.floor(Date.now() / 1000);
  let jti = 0;
  function assertion(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const all = { iss: id, sub: id, aud: gatehouse.issuer, exp: now() + 60, jti: `jti-${jti++}`, ...claims };
    return new SignJWT(all).setProtectedHeader({ alg: 'ES256', kid: 'one', ...header }).sign(privateKey);
  }
  const ask = (client_assertion: string, more: Record<string, string> = {}) =>
    postForm(gatehouse, '/oauth/introspect', {
      token,
      client_assertion_type: JWT_BEARER,
      client_assertion,
      ...more,
    });

  test('is answered', async () => {
    expect((await ask(await assertion())).body.active).toBe(true);
    expect((await ask(await assertion(), { client_id: id })).body.active).toBe(true);
    const endpoint = `${gatehouse.issuer}/oauth/introspect`;
    expect((await ask(await assertion({ aud: endpoint }))).body.active).toBe(true);
  });

  test('may use an assertion once, of any number at once', async () => {
    const one = await assertion();
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(one)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401, 401]);
  });

  test('may not use it again where another instance’s clock is ahead', async () => {
    const ahead = await gatehouse.another();
    ahead.passSeconds(60);
    const one = await assertion({ exp: now() + 30 });
    expect((await ask(one)).status).toBe(200);
    const later = await assertion({ exp: now() + 120 });
    const parameters = { token, client_assertion_type: JWT_BEARER, client_assertion: later };
    expect((await postForm(ahead, '/oauth/introspect', parameters)).status, 'purges by its clock').toBe(200);
    expect((await ask(one)).status).toBe(401);
    await ahead.stop();
  });

  test('does not do so in an address, which is in logs', async () => {
    const query = new URLSearchParams({ client_assertion_type: JWT_BEARER, client_assertion: await assertion() });
    const { status, body } = await gatehouse.get(`/oauth/revocations?${query.toString()}`);
    expect([status, body.error]).toEqual([401, 'invalid_client']);
  });

  test('is refused with anything else', async () => {
    const another = keyPair().privateKey;
    const forged = await new SignJWT({ iss: id, sub: id, aud: gatehouse.issuer, exp: now() + 60, jti: 'f' })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .sign(another);
    const wrong = [
      'x',
      forged,
      await assertion({ aud: 'https://other.example' }),
      await assertion({ iss: service.id }),
      await assertion({ sub: service.id }),
      await assertion({ exp: now() - 6 }),
      await assertion({ exp: now() + 400 }),
      await assertion({ exp: undefined }),
      await assertion({ jti: undefined }),
      await assertion({ jti: 7 }),
      await assertion({ sub: 7 }),
      await assertion({ nbf: now() + 60 }),
    ];
    for (const one of wrong) expect((await ask(one)).body, one).toMatchObject({ error: 'invalid_client' });
    expect((await ask(await assertion(), { client_id: service.id })).status).toBe(401);
    expect((await ask(await assertion(), { client_assertion_type: 'x' })).status).toBe(401);
    const twice = await postForm(
      gatehouse,
      '/oauth/introspect',
      { token, client_assertion_type: JWT_BEARER, client_assertion: await assertion() },
      { Authorization: service.basic },
    );
    expect([twice.status, twice.body.error]).toEqual([400, 'invalid_request']);
    expect((await postForm(gatehouse, '/oauth/introspect', { token }, { Authorization: basic(id, '') })).status).toBe(
      401,
    );
  });
});

describe('budgets', () => {
  let limited: Gatehouse;
  beforeAll(async () => {
    const env = { RATE_LIMITS: 'on', RATE_LIMIT_INTROSPECTION: '5/60', RATE_LIMIT_CLIENT_AUTH: '3/60' };
    limited = await gatehouse.another(env);
  });
  afterAll(() => limited.stop());

  // Proves ASVS 10.4.10: failed authentications of clients, and introspections, have a budget
  test('a client may introspect so often in a minute', async () => {
    const one = await makeService(gatehouse);
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await one.introspect('x', limited));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(answers[5]?.body.error).toBe('temporarily_unavailable');
    expect(Number(answers[5]?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await service.introspect('x', limited)).status, 'another client').toBe(200);
  });

  test('many at once use no more of it than they are', async () => {
    const wide = await gatehouse.another({ RATE_LIMITS: 'on', RATE_LIMIT_INTROSPECTION: '1000/60' });
    const one = await makeService(gatehouse);
    const answers = await Promise.all(Array.from({ length: 100 }, () => one.introspect('x', wide)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const [{ points }] = await gatehouse.sql('SELECT points FROM rate_limits WHERE `key` = ?', [
      `introspection:${one.id}`,
    ]);
    expect(Number(points)).toBe(100);
    await wide.stop();
  });

  test('an address may fail to authenticate so often, and the right secret is let pass', async () => {
    const wrong = { Authorization: basic(service.id, 'wrong') };
    const statuses = [];
    for (let i = 0; i < 6; i++)
      statuses.push((await postForm(limited, '/oauth/introspect', { token: 'x' }, wrong)).status);
    expect(statuses).toEqual([401, 401, 401, 429, 429, 429]);
    expect((await service.introspect('x', limited)).status).toBe(200);
    expect(await metric(limited, 'gatehouse_budget_refusals_total{budget="client_auth"}')).toBe(3);
    const query = 'SELECT type, outcome, ip FROM audit_events WHERE reason = ?';
    const told = { type: 'excess_rate_limit_exceeded', outcome: 'failure', ip: '127.0.0.1' };
    expect(await gatehouse.sql(query, ['client_auth']), 'one of a window').toEqual([told]);
  });

  // Proves ASVS 10.4.10: failed authentications of clients, and introspections, have a budget
  test('a flood of unknown clients costs no queries, and keeps no known one out', async () => {
    const flood = (count: number) =>
      Promise.all(
        Array.from({ length: count }, () =>
          postForm(limited, '/oauth/introspect', { token: 'x' }, { Authorization: basic(randomUUID(), 'x') }),
        ),
      );
    await flood(6);
    await service.introspect('x', limited);
    const find = vi.spyOn(limited.app.get(ServiceClientRepository), 'findKnown');
    const statuses = (await flood(20)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([429]));
    expect(find.mock.calls.filter(([ids]) => ids)).toEqual([]);
    expect((await service.introspect('x', limited)).status).toBe(200);
    find.mockRestore();
  });
});
