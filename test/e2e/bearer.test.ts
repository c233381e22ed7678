import { createHmac, createSign, randomUUID, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MasterKeys } from '../../src/common/master-keys.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { keyPair } from '../support/key-pair.js';

let gatehouse: Gatehouse;
let header: Record<string, unknown>;
let claims: Record<string, unknown>;
let token: string;
let ourKey: string;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  token = (await gatehouse.signUpAndLogIn()).access_token;
  [header, claims] = token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString())) as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  // As only the service can: with it, a token that is refused is refused for its claims and not for its signature.
  const [row] = await gatehouse.sql('SELECT kid, private_key FROM signing_keys WHERE number = 1');
  const masterKeys = new MasterKeys([Buffer.from(gatehouse.env['MASTER_KEY'] as string, 'base64')]);
  ourKey = masterKeys.open('signing-key-encryption', row.private_key, row.kid) as string;
});
afterAll(() => gatehouse.stop());

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function sign(head: unknown, payload: unknown, key: string | KeyObject = ourKey): string {
  const input = `${encode(head)}.${encode(payload)}`;
  const signature = createSign('sha256')
    .update(input)
    .sign({ key: key as string, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const statusOf = async (bearer: string) => (await gatehouse.get('/users/me', { token: bearer })).status;
const without = (object: object, name: string) =>
  Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
const now = () => Math.floor(Date.now() / 1000);

const claimsOf = (bearer: string) => JSON.parse(Buffer.from(bearer.split('.')[1] as string, 'base64url').toString());

test('a token made like this from the untouched claims passes: what follows fails for its own reason', async () => {
  expect(await statusOf(sign(header, claims))).toBe(200);
});

// Proves RFC 9068 §4, RFC 8725 §3.1, RFC 8725 §3.2, ASVS 9.1.1, ASVS 9.1.2: one algorithm and our own keys: a header that is not exactly ours is refused
// Proves ASVS 9.1.3, RFC 8725 §3.10, ASVS 1.3.6: no token brings its own key or names where to get one
describe('401 for a header that is not exactly ours', () => {
  test.each([
    ['alg none', { alg: 'none' }],
    ['alg nOnE', { alg: 'nOnE' }],
    ['alg HS256', { alg: 'HS256' }],
    ['alg RS256', { alg: 'RS256' }],
    ['typ JWT', { typ: 'JWT' }],
    ['no typ', { typ: undefined }],
    ['no kid', { kid: undefined }],
    ['an unknown kid', { kid: 'A'.repeat(43) }],
    ['a path as kid', { kid: '../../../dev/null' }],
    ['SQL as kid', { kid: "' OR 1=1 --" }],
    ['a long kid', { kid: 'k'.repeat(2000) }],
    ['a number as kid', { kid: 1 }],
    ['jku', { jku: 'https://attacker.example/jwks.json' }],
    ['x5u', { x5u: 'https://attacker.example/cert' }],
    ['an embedded key', { jwk: { kty: 'EC' } }],
    ['crit', { crit: ['exp'] }],
    ['cty', { cty: 'JWT' }],
  ])('%s', async (_, change) => {
    expect(await statusOf(sign({ ...header, ...change }, claims))).toBe(401);
  });

  test('HS256 with the public key as secret', async () => {
    const { body } = await gatehouse.get('/.well-known/jwks.json');
    const input = `${encode({ ...header, alg: 'HS256' })}.${encode(claims)}`;
    const mac = createHmac('sha256', JSON.stringify(body.keys[0])).update(input).digest('base64url');
    expect(await statusOf(`${input}.${mac}`)).toBe(401);
  });

  test('none, without a signature', async () => {
    expect(await statusOf(`${encode({ ...header, alg: 'none' })}.${encode(claims)}.`)).toBe(401);
  });
});

// Proves RFC 9068 §4, RFC 8725 §3.8, RFC 8725 §3.9, ASVS 9.2.1, ASVS 9.2.3: issuer, audience and times are exact, and no claim may be missing
describe('401 for claims that are not ours, for us, in time', () => {
  test.each(['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'auth_time'])('no %s', async (name) => {
    expect(await statusOf(sign(header, without(claims, name)))).toBe(401);
  });

  test.each([
    ['another issuer', { iss: 'https://attacker.example' }],
    ['another audience', { aud: 'https://other.example' }],
    ['no audience at all', { aud: [] }],
    ['a list of audiences', { aud: ['http://localhost:0', 'x'] }],
    ['expired this second', () => ({ exp: now() })],
    ['expired', () => ({ iat: now() - 600, exp: now() - 300 })],
    ['not before later', () => ({ nbf: now() + 60 })],
    ['issued later', () => ({ iat: now() + 60, exp: now() + 300 })],
    ['a life of a century', () => ({ exp: now() + 3_000_000_000 })],
    ['exp as text', () => ({ exp: String(now() + 300) })],
    ['exp as a fraction', () => ({ exp: now() + 300.5 })],
    ['iat null', { iat: null }],
    ['sid as a number', { sid: 1 }],
    ['sub as an object', { sub: {} }],
  ])('%s', async (_, change) => {
    const changed = typeof change === 'function' ? change() : change;
    expect(await statusOf(sign(header, { ...claims, ...changed }))).toBe(401);
  });

  test('an instance whose clock is 5 s behind accepts, one 6 s behind does not', async () => {
    const fresh = (await gatehouse.signUpAndLogIn()).access_token;
    const other = (await gatehouse.signUpAndLogIn()).access_token;
    const setClock = gatehouse.stopClock();
    setClock((claimsOf(fresh).iat - 5) * 1000);
    expect(await statusOf(fresh)).toBe(200);
    setClock((claimsOf(other).iat - 5) * 1000 - 1);
    expect(await statusOf(other)).toBe(401);
  });

  test('the last second of its life works, the next does not; also for a signature that is remembered', async () => {
    const fresh = (await gatehouse.signUpAndLogIn()).access_token;
    const { exp } = claimsOf(fresh);
    const setClock = gatehouse.stopClock();
    setClock(exp * 1000 - 1);
    expect(await statusOf(fresh)).toBe(200);
    setClock(exp * 1000);
    expect(await statusOf(fresh)).toBe(401);
  });
});

// Proves CS JSON Web Token: sessions are revoked, not spellings of tokens
// Proves RFC 7515: a token has one spelling
describe('401 for another spelling', () => {
  test.each([
    ['padding', (t: string) => `${t}==`],
    ['a last character with other unused bits', (t: string) => t.slice(0, -1) + nextInAlphabet(t.at(-1) as string)],
    ['a dot at the end', (t: string) => `${t}.`],
    ['four parts', (t: string) => `${t}.x`],
    ['two parts', (t: string) => t.split('.').slice(0, 2).join('.')],
    ['an empty signature', (t: string) => `${t.split('.').slice(0, 2).join('.')}.`],
    ['standard base64', (t: string) => `+${t.slice(1)}`],
    ['more than 4 KiB', () => sign(header, { ...claims, fill: 'x'.repeat(4096) })],
    ['a header that is not JSON', (t: string) => `${encode('{')}.${t.split('.').slice(1).join('.')}`],
    ['a header that is null', (t: string) => `${encode('null')}.${t.split('.').slice(1).join('.')}`],
    [
      'a changed claim',
      (t: string) => [t.split('.')[0], encode({ ...claims, sub: randomUUID() }), t.split('.')[2]].join('.'),
    ],
    ['garbage', () => 'x'],
  ])('%s', async (_, change) => {
    expect(await statusOf(change(token))).toBe(401);
  });

  // Proves RFC 9068 §4, RFC 8725 §3.1, RFC 8725 §3.2, ASVS 9.1.1, ASVS 9.1.2: one algorithm and our own keys: a header that is not exactly ours is refused
  test('a key of our kind that is not ours', async () => {
    const { privateKey } = keyPair();
    expect(await statusOf(sign(header, claims, privateKey))).toBe(401);
  });
});

describe('the Authorization header', () => {
  const me = (headers: Record<string, string>) => gatehouse.get('/users/me', { headers });

  // Proves RFC 6750 §3: the challenge tells of an error only where there was a token
  // Proves RFC 9110 §15.5.2: every 401 carries a Bearer challenge
  test('nothing: 401, and the challenge has no error code (RFC 6750, section 3)', async () => {
    const { status, headers, body } = await me({});
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="gatehouse"');
    expect(body.code).toBe('invalid_token');
  });

  // Proves RFC 6750 §3: the challenge tells of an error only where there was a token
  test('a bad token: the challenge says so', async () => {
    const { status, headers } = await me({ Authorization: 'Bearer x' });
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="gatehouse", error="invalid_token"');
  });

  test.each(['Basic YTpi', 'Bearer', 'Bearer a b', '', 'Token x'])('%j is a 401', async (authorization) => {
    expect((await me({ Authorization: authorization })).status).toBe(401);
  });

  test('the scheme is not case-sensitive (RFC 9110, section 11.1)', async () => {
    expect((await me({ Authorization: `bearer ${token}` })).status).toBe(200);
  });

  // Proves RFC 6750 §2: a token comes in one Authorization header and nowhere else
  // Proves ASVS 14.2.1: no secret is read from an address, and none is put into one that a server sees
  test('a token in the query or the body is not looked at', async () => {
    expect((await gatehouse.get(`/users/me?access_token=${token}`)).status).toBe(401);
    expect((await gatehouse.post('/auth/logout-all', { access_token: token })).status).toBe(401);
  });
});

// Proves ours (Checking tokens): forged key ids cost two queries a second at most, however many come
test('unknown kids ask the database twice a second at most', async () => {
  let queries = 0;
  const runner = gatehouse.dataSource.driver.createQueryRunner.bind(gatehouse.dataSource.driver);
  gatehouse.dataSource.driver.createQueryRunner = (mode) => {
    const one = runner(mode);
    const query = one.query.bind(one) as (...args: unknown[]) => Promise<unknown>;
    one.query = ((...args: unknown[]) => {
      if (String(args[0]).includes('signing_keys')) queries++;
      return query(...args);
    }) as never;
    return one;
  };
  try {
    const forged = Array.from({ length: 200 }, () =>
      sign({ ...header, kid: randomUUID().replaceAll('-', '') }, claims),
    );
    const startedAt = performance.now();
    expect(new Set(await Promise.all(forged.map(statusOf)))).toEqual(new Set([401]));
    const seconds = (performance.now() - startedAt) / 1000;
    expect(queries).toBeLessThanOrEqual(2 + 2 * seconds);
  } finally {
    gatehouse.dataSource.driver.createQueryRunner = runner;
  }
});

function nextInAlphabet(character: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet[(alphabet.indexOf(character) ^ 1) % 64] as string;
}
