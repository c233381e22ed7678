import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Answer, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const JSON_TYPE = { 'Content-Type': 'application/json' };
const signUp = (raw: string | Uint8Array, headers: Record<string, string> = JSON_TYPE) =>
  gatehouse.request('POST', '/auth/signup', { raw, headers });

function expectProblem({ status, headers, body }: Answer, expected: number, code: string): void {
  expect([status, body?.code]).toEqual([expected, code]);
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(body.status).toBe(expected);
  expect(body.request_id).toBe(headers.get('x-request-id'));
  const names = ['code', 'detail', 'request_id', 'status', 'title', 'type'];
  expect(
    Object.keys(body)
      .filter((name) => name !== 'errors')
      .sort(),
  ).toEqual(names);
}

// Proves ASVS 4.1.1, RFC 9457: every error is a problem of its type, with a stable code and the id of the request
describe('the body', () => {
  // Proves ASVS 15.3.6, ASVS 15.3.7, ASVS 1.5.3: a key that comes twice, or would change an object’s prototype, is refused
  test.each([
    ['not JSON', '{"email":'],
    ['empty', ''],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['a duplicate key', '{"email":"a@example.com","email":"b@example.com","password":"violet kettle gravel"}'],
    ['__proto__', '{"__proto__":{"admin":true}}'],
    ['constructor', '{"constructor":{"prototype":{}}}'],
  ])('400: %s', async (_, raw) => expectProblem(await signUp(raw), 400, 'malformed_body'));

  // Proves ours (Passwords): ill-formed text is refused and opens nothing
  test('400: bytes that are not UTF-8', async () => {
    expectProblem(await signUp(Buffer.from([0x7b, 0xff, 0x7d])), 400, 'malformed_body');
  });

  // Proves ASVS 3.5.2, ASVS 3.5.3, CS REST Security: JSON in UTF-8 and nothing else is read: no form of another site logs anybody in
  test.each([
    ['text', { 'Content-Type': 'text/plain' }],
    ['a form', { 'Content-Type': 'application/x-www-form-urlencoded' }],
    ['a multipart form', { 'Content-Type': 'multipart/form-data; boundary=x' }],
    ['JSON by another name', { 'Content-Type': 'application/json5' }],
    ['UTF-16', { 'Content-Type': 'application/json; charset=utf-16' }],
    ['nonsense', { 'Content-Type': 'x' }],
  ])('415: %s', async (_, headers) => {
    expectProblem(await signUp(JSON.stringify(newAccount()), headers), 415, 'unsupported_media_type');
  });

  // Proves ASVS 3.5.2, ASVS 3.5.3, CS REST Security: JSON in UTF-8 and nothing else is read: no form of another site logs anybody in
  test('415: no content type and nothing in it', async () => {
    expectProblem(await gatehouse.request('POST', '/auth/signup'), 415, 'unsupported_media_type');
    expectProblem(await gatehouse.request('POST', '/auth/login'), 415, 'unsupported_media_type');
    expectProblem(await gatehouse.request('POST', '/auth/refresh'), 415, 'unsupported_media_type');
  });

  // Proves ASVS 3.5.2, ASVS 3.5.3, CS REST Security: JSON in UTF-8 and nothing else is read: no form of another site logs anybody in
  test('415: compressed', async () => {
    const headers = { ...JSON_TYPE, 'Content-Encoding': 'gzip' };
    expectProblem(await signUp(gzipSync(JSON.stringify(newAccount())), headers), 415, 'unsupported_media_type');
  });

  test('the charset parameter may say UTF-8, in whatever case', async () => {
    for (const type of ['application/json; charset=utf-8', 'application/json;charset="UTF-8"', 'Application/JSON']) {
      expect((await signUp(JSON.stringify(newAccount()), { 'Content-Type': type })).status, type).toBe(201);
    }
  });

  // Proves CS Node.js Security: bodies of at most 16 KiB
  test('16 KiB are read, one byte more is a 413', async () => {
    const fill = (size: number) => JSON.stringify({ x: 'x'.repeat(size - 8) });
    expect(fill(16 * 1024)).toHaveLength(16 * 1024);
    expectProblem(await signUp(fill(16 * 1024)), 422, 'invalid_fields');
    expectProblem(await signUp(fill(16 * 1024 + 1)), 413, 'body_too_large');
  });
});

describe('the address', () => {
  // Proves ours (HTTP): a route has one spelling, so that rules about paths in front hold
  test.each([
    '/',
    '/auth',
    '/auth/',
    '/auth/Login',
    '/auth/login/',
    '//auth/login',
    '/metrics',
    '/.env',
    '/auth/sessions/',
  ])('404: GET %s', async (path) => expectProblem(await gatehouse.get(path), 404, 'not_found'));

  test('404 whatever the body is', async () => {
    for (const raw of ['x'.repeat(20_000), '{', '{}']) {
      expectProblem(await gatehouse.request('POST', '/nowhere', { raw, headers: JSON_TYPE }), 404, 'not_found');
    }
  });

  // Proves ASVS 16.5.1: no input gives a 500, and nothing sent comes back
  test('nothing of it comes back', async () => {
    const { text } = await gatehouse.get('/canary-path?canary-query=1');
    expect(text).not.toContain('canary');
  });

  test('400: one that cannot be decoded', async () => {
    const answer = await gatehouse.get('/auth/%zz');
    expectProblem(answer, 400, 'malformed_request');
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  // Proves ASVS 3.4.2: no other origin reads an answer, except for the public keys
  // Proves ASVS 4.1.4, ASVS 13.4.4, RFC 9110 §15.5.6, CS REST Security: another method is a 405 that says which are allowed; TRACE is off
  test.each([
    ['GET', '/auth/login', 'POST'],
    ['PUT', '/auth/signup', 'POST'],
    ['PATCH', '/users/me', 'GET, HEAD'],
    ['POST', '/auth/sessions', 'GET, HEAD'],
    ['GET', '/auth/sessions/01a203e0-390a-7649-97dc-7d3f8c9bf560', 'DELETE'],
    ['OPTIONS', '/auth/login', 'POST'],
    ['DELETE', '/.well-known/jwks.json', 'GET, HEAD'],
    ['POST', '/health/live', 'GET, HEAD'],
    ['GET', '/auth/log%69n', 'POST'],
  ])('405: %s %s allows %s', async (method, path, allow) => {
    const answer = await gatehouse.request(method, path);
    expectProblem(answer, 405, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe(allow);
  });

  // Proves ASVS 4.1.4, ASVS 13.4.4, RFC 9110 §15.5.6, CS REST Security: another method is a 405 that says which are allowed; TRACE is off
  test('405 for TRACE, 404 where there is nothing in any method', async () => {
    expect(await traceStatus('/auth/login')).toBe(405);
    expectProblem(await gatehouse.post('/nowhere', {}), 404, 'not_found');
  });

  test('HEAD answers like GET, without a body', async () => {
    const { status, text } = await gatehouse.request('HEAD', '/health/live');
    expect([status, text]).toEqual([200, '']);
  });
});

describe('headers', () => {
  const expected = {
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
    'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  };

  // Proves ASVS 3.4.1, ASVS 3.4.4, ASVS 3.4.5, ASVS 3.4.6: security headers on every answer, also on what is not HTTP
  // Proves ASVS 13.4.6: no answer names a product or a version
  test('of section H on every answer, and no banner', async () => {
    const answers = [
      await gatehouse.get('/health/live'),
      await gatehouse.get('/users/me'),
      await gatehouse.get('/nowhere'),
      await gatehouse.get('/auth/%zz'),
      await gatehouse.get('/auth/login'),
      await signUp('x'),
      await gatehouse.get('/.well-known/jwks.json'),
    ];
    for (const { headers } of answers) {
      for (const [name, value] of Object.entries(expected)) expect(headers.get(name), name).toBe(value);
      expect(headers.get('server')).toBeNull();
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('etag')).toBeNull();
    }
  });

  // Proves RFC 6749 §5.1, ASVS 14.3.2, ASVS 14.2.2: nothing but the key set may be stored by a cache
  test('everything but the key set and the docs is no-store', async () => {
    for (const path of ['/health/live', '/health/ready', '/users/me', '/nowhere', '/auth/login']) {
      expect((await gatehouse.get(path)).headers.get('cache-control'), path).toBe('no-store');
    }
  });

  test('the request id is the client’s when it is a UUID, else ours', async () => {
    const id = '0b0e7b34-6a4d-4a52-9d8f-0c8f3c6f6b1e';
    const kept = await gatehouse.get('/nowhere', { headers: { 'X-Request-Id': id } });
    expect([kept.headers.get('x-request-id'), kept.body.request_id]).toEqual([id, id]);
    expect(gatehouse.logLines.some((line) => JSON.parse(line).request_id === id)).toBe(true);
    for (const bad of ['x', `${id}x`, `${id}, ${id}`, "'--"]) {
      const { headers } = await gatehouse.get('/nowhere', { headers: { 'X-Request-Id': bad } });
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    }
  });

  // Proves RFC 6750 §2: a token comes in one Authorization header and nowhere else
  test('two Authorization headers are a 400', async () => {
    const { access_token } = await gatehouse.signUpAndLogIn();
    const status = await new Promise((resolve, reject) => {
      const request = httpRequest(`${gatehouse.origin}/users/me`, (response) => resolve(response.statusCode));
      request.setHeader('Authorization', [`Bearer ${access_token}`, `Bearer ${access_token}`]);
      request.on('error', reject).end();
    });
    expect(status).toBe(400);
  });
});

describe('on the wire', () => {
  // Proves ASVS 3.4.1, ASVS 3.4.4, ASVS 3.4.5, ASVS 3.4.6: security headers on every answer, also on what is not HTTP
  // Proves ASVS 4.2.1: ambiguous requests are refused
  // Proves RFC 6585 §5: huge headers are a 431
  test.each([
    ['no HTTP', 'canary\r\n\r\n', 400],
    ['a method nobody knows', 'CANARY / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    [
      'content length and chunks at once',
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'two content lengths',
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd',
      400,
    ],
    ['huge headers', `GET / HTTP/1.1\r\nHost: x\r\nX-Canary: ${'canary'.repeat(4000)}\r\n\r\n`, 431],
    ['no Host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts', 'GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n', 400],
    [
      'an expectation nobody knows',
      'GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: canary\r\nConnection: close\r\n\r\n',
      200,
    ],
  ])('%s', async (_, bytes, status) => {
    const answer = await rawRequest(bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).not.toContain('canary');
    expect(answer.toLowerCase()).toContain('x-content-type-options: nosniff');
    if (status !== 200) expect(answer).toContain('application/problem+json');
  });

  test('what is not HTTP gets a problem too', async () => {
    const answer = await rawRequest('canary\r\n\r\n');
    expect(answer).toContain('application/problem+json');
    expect(JSON.parse(answer.split('\r\n\r\n')[1] as string)).toMatchObject({ status: 400, code: 'malformed_request' });
  });
});

// Proves ASVS 16.5.1: no input gives a 500, and nothing sent comes back
describe('no input gives a 500, and nothing sent comes back', () => {
  const canary = 'canary-4f1c9f';
  const values: unknown[] = [
    canary,
    '',
    ' ',
    '\0',
    null,
    true,
    0,
    -1,
    1e308,
    [],
    [canary],
    {},
    { [canary]: canary },
    { toString: canary },
    [[[[]]]],
    '\ud800',
    `${canary}\r\n{"event":"x"}`,
    `' OR '1'='1' -- ${canary}`,
    `${canary}@${canary}`,
    `<script>${canary}</script>`,
    '{{7*7}}',
    '%00',
    '../../etc/passwd',
    'x'.repeat(8000),
    { length: 1e9 },
    '𝒜'.repeat(2000),
    `${canary}%0d%0aSet-Cookie:x=1`,
  ];
  const fields: [string, string][] = [
    ['/auth/signup', 'email'],
    ['/auth/signup', 'password'],
    ['/auth/login', 'email'],
    ['/auth/login', 'password'],
    ['/auth/refresh', 'refresh_token'],
    ['/auth/logout', 'refresh_token'],
  ];

  test.each(fields)('%s %s', async (path, field) => {
    for (const value of values) {
      const base = path.endsWith('signup') || path.endsWith('login') ? { ...newAccount() } : {};
      const answer = await gatehouse.post(path, { ...base, [field]: value });
      expect([200, 201, 400, 401, 422], JSON.stringify(value)?.slice(0, 80)).toContain(answer.status);
      if (answer.status >= 400) expect(answer.text).not.toContain(canary);
    }
  });

  test('random bytes in the body', async () => {
    let seed = 1;
    const random = () => (seed = (seed * 48_271) % 2_147_483_647);
    for (let i = 0; i < 300; i++) {
      const good = Buffer.from(JSON.stringify(newAccount()));
      for (let change = 0; change < 3; change++) good[random() % good.length] = random() % 256;
      expect((await signUp(good)).status).toBeLessThan(500);
    }
  });
});

async function traceStatus(path: string): Promise<number> {
  return Number(
    /^HTTP\/1.1 (\d+)/.exec(await rawRequest(`TRACE ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`))?.[1],
  );
}

/** Everything the server says to these bytes until it closes. */
function rawRequest(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(new URL(gatehouse.origin).port), '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (answer += chunk));
    socket.on('close', () => resolve(answer));
    socket.on('error', (error) => (answer ? resolve(answer) : reject(error)));
  });
}
