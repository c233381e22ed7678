import bcrypt from 'bcrypt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
let account: Account & { id: string };
beforeAll(async () => {
  gatehouse = await startGatehouse();
  account = await gatehouse.signUp();
});
afterAll(() => gatehouse.stop());

const logIn = (json: unknown) => gatehouse.post('/auth/login', json);

// Proves RFC 6749 §5.1, ASVS 14.3.2, ASVS 14.2.2: nothing but the key set may be stored by a cache
test('answers with a pair of tokens, not to be stored', async () => {
  const { status, body, headers } = await logIn({ email: account.email, password: account.password });
  expect(status).toBe(200);
  expect(Object.keys(body).sort()).toEqual([
    'access_token',
    'device_token',
    'expires_in',
    'refresh_expires_in',
    'refresh_token',
    'token_type',
  ]);
  expect(body.token_type).toBe('Bearer');
  expect(body.expires_in).toBe(300);
  expect(body.refresh_expires_in).toBe(604_800);
  expect(body.refresh_token).toMatch(/^[0-9a-f-]{36}\.0\.[\w-]{43}$/);
  expect(headers.get('cache-control')).toBe('no-store');
});

// Proves 63B-4 §5.1.2: a token says when its person has logged in
// Proves RFC 9068 §2.1, RFC 9068 §2.2, ASVS Appendix C: access tokens have exactly our header and our claims, and nothing personal
test('the access token has exactly the header and the claims of RFC 9068, and sid', async () => {
  const { access_token } = await gatehouse.logIn(account);
  const [header, claims] = access_token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  expect(Object.keys(header)).toEqual(['alg', 'typ', 'kid']);
  expect(header).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
  const names = ['aud', 'auth_time', 'client_id', 'exp', 'iat', 'iss', 'jti', 'sid', 'sub'];
  expect(Object.keys(claims).sort()).toEqual(names);
  expect(claims.sub).toBe(account.id);
  expect(claims.exp - claims.iat).toBe(300);
  expect(claims.auth_time).toBe(claims.iat);
});

describe('a failed login says nothing', () => {
  const withoutRequestId = (text: string) => text.replace(/"request_id":"[^"]+"/, '');
  const comparable = (headers: Headers) =>
    [...headers].filter(([name]) => !['date', 'x-request-id', 'content-length'].includes(name));

  const wrong = (): Record<string, unknown> => ({
    'a wrong password': { email: account.email, password: 'wrong kettle gravel' },
    'an unknown address': { email: newAccount().email, password: account.password },
    'an address that is none': { email: 'not an address', password: account.password },
    'an empty password': { email: account.email, password: '' },
    'an empty address': { email: '', password: account.password },
    'a short password': { email: account.email, password: 'x' },
    'a password longer than any': { email: account.email, password: 'x'.repeat(5000) },
    'a password with NUL': { email: account.email, password: `${account.password}\0` },
    'a lone surrogate': { email: account.email, password: 'violet \ud800 gravel' },
  });

  // Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
  // Proves RFC 9110 §15.5.2: every 401 carries a Bearer challenge
  test('the same bytes for every reason', async () => {
    const answers = await Promise.all(Object.values(wrong()).map(logIn));
    for (const { status, text, headers } of answers) {
      expect(status).toBe(401);
      expect(withoutRequestId(text)).toBe(withoutRequestId(answers[0]!.text));
      expect(comparable(headers)).toEqual(comparable(answers[0]!.headers));
    }
    expect(answers[0]!.body.code).toBe('invalid_credentials');
    expect(answers[0]!.headers.get('www-authenticate')).toMatch(/^Bearer realm=/);
  });

  // Proves ASVS 14.2.1: no secret is read from an address, and none is put into one that a server sees
  test('credentials in the query are not looked at', async () => {
    const query = new URLSearchParams({ email: account.email, password: account.password }).toString();
    expect((await gatehouse.post(`/auth/login?${query}`, { email: '', password: '' })).status).toBe(401);
    expect((await gatehouse.post(`/auth/login?${query}`, {})).status).toBe(422);
  });

  // Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
  test.each([
    ['nothing', {}],
    ['no password', { email: 'ada@example.com' }],
    ['a number', { email: 'ada@example.com', password: 1 }],
    ['an array', { email: ['ada@example.com'], password: 'x' }],
    ['an unknown field', { email: 'ada@example.com', password: 'x', otp: '1' }],
  ])('422 for the wrong types: %s', async (_, json) => {
    expect((await logIn(json)).status).toBe(422);
  });
});

describe('hashes are upgraded at login', () => {
  const storedHash = async (id: string) =>
    (await gatehouse.sql('SELECT password_hash FROM users WHERE id = ?', [id]))[0].password_hash;

  // Proves ASVS 11.4.2, CS Password Storage, ASVS 11.2.2: hashes of another cost, key or system are upgraded at the next login
  test('a plain bcrypt hash from elsewhere, once its password was given', async () => {
    const imported = await gatehouse.signUp();
    const plain = (await bcrypt.hash(imported.password, 4)).replace('$2b$', '$2y$');
    await gatehouse.sql('UPDATE users SET password_hash = ? WHERE id = ?', [plain, imported.id]);

    expect((await logIn({ email: imported.email, password: 'wrong kettle gravel' })).status).toBe(401);
    expect(await storedHash(imported.id)).toBe(plain);
    await gatehouse.logIn(imported);
    expect(await storedHash(imported.id)).toMatch(/^bcrypt-hmac-sha384:/);
    await gatehouse.logIn(imported);
  });

  // Proves 63B-4 §3.1.1.2(storage): one password of two people has two hashes, and a hash moved to another account opens nothing
  test("a hash copied from another person's row opens nothing", async () => {
    const [mine, theirs] = [await gatehouse.signUp(), await gatehouse.signUp()];
    await gatehouse.sql('UPDATE users SET password_hash = ? WHERE id = ?', [await storedHash(theirs.id), mine.id]);
    expect((await logIn({ email: mine.email, password: theirs.password })).status).toBe(401);
  });
});

// Proves ASVS 7.1.2: at most ten sessions: one more ends the oldest
test('at most 10 live sessions: the eleventh ends the oldest, with its tokens', async () => {
  const person = await gatehouse.signUp();
  const logins = [];
  for (let i = 0; i < 11; i++) logins.push(await gatehouse.logIn(person));
  expect((await gatehouse.get('/users/me', { token: logins[0]!.access_token })).status).toBe(401);
  expect((await gatehouse.get('/users/me', { token: logins[1]!.access_token })).status).toBe(200);
  const list = await gatehouse.get('/auth/sessions', { token: logins[10]!.access_token });
  expect(list.body.sessions).toHaveLength(10);
});

// Proves ASVS 7.1.2: at most ten sessions: one more ends the oldest
test('30 logins at once leave 10 live sessions', async () => {
  const person = await gatehouse.signUp();
  const logins = await Promise.all(Array.from({ length: 30 }, () => gatehouse.logIn(person)));
  const answers = await Promise.all(logins.map(({ access_token: token }) => gatehouse.get('/users/me', { token })));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
});
