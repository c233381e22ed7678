import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const signUp = (json: unknown) => gatehouse.post('/auth/signup', json);
const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const errorsOf = (body: { errors: { field: string; code: string }[] }) =>
  body.errors.map(({ field, code }) => `${field}: ${code}`);

// Proves ASVS 8.2.3, ASVS 14.2.6, ASVS 15.3.1: answers have the fields that are needed and no others
test('answers 201 with id, address and time, and nothing else', async () => {
  const account = newAccount();
  const { status, body, headers } = await signUp(account);
  expect(status).toBe(201);
  expect(Object.keys(body).sort()).toEqual(['created_at', 'email', 'id']);
  expect(body.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(body.email).toBe(account.email);
  expect(Math.abs(Date.parse(body.created_at) - Date.now())).toBeLessThan(60_000);
  expect(headers.get('cache-control')).toBe('no-store');
});

describe('one account per address', () => {
  test('a taken address is a 409, in whatever case', async () => {
    const { email } = await gatehouse.signUp({ email: `Mixed.${Date.now()}@Example.com` });
    const again = await signUp(newAccount({ email: email.toLowerCase() }));
    expect(again.status).toBe(409);
    expect(again.body.code).toBe('email_taken');
  });

  test('the address is kept as it was typed', async () => {
    const account = await gatehouse.signUp({ email: `Typed.${Date.now()}@Bücher.example` });
    const { access_token: token } = await gatehouse.logIn({ ...account, email: account.email.toLowerCase() });
    expect((await gatehouse.get('/users/me', { token })).body.email).toBe(account.email);
  });

  // Proves ours (Database): identifiers and addresses are compared byte by byte
  test('the accent is part of the domain: no collation folds it away', async () => {
    const unique = Date.now();
    await gatehouse.signUp({ email: `x${unique}@résumé.example` });
    await gatehouse.signUp({ email: `x${unique}@resume.example` });
  });

  // Proves ours (Database): sign-ups of one address at once make one account
  test('of 20 at once one wins, and its password is the one that works', async () => {
    const { email } = newAccount();
    const attempts = Array.from({ length: 20 }, () => newAccount({ email }));
    const answers = await Promise.all(attempts.map(signUp));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
    const winner = attempts[answers.findIndex(({ status }) => status === 201)];
    await gatehouse.logIn(winner as never);
  });
});

// Proves 63B-4 §3.1.1.2(7), 63B-4 §3.1.1.2(8), ASVS 6.4.2: no field for a hint or a secret question: what is unknown is refused
// Proves 63B-4 §3.1.1.2(blocklist): the entire password is held against the list, never a part of it; a refusal says why
// Proves ASVS 6.2.4: common passwords are refused: at least 3000 that would be long enough
// Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
describe('422 names every refused field', () => {
  test.each([
    ['nothing', {}, ['email: required', 'password: required']],
    ['no password', { email: 'ada@example.com' }, ['password: required']],
    ['null', { email: null, password: null }, ['email: required', 'password: required']],
    ['a number', { email: 1, password: 'violet kettle gravel' }, ['email: wrong_type']],
    ['true', { email: 'ada@example.com', password: true }, ['password: wrong_type']],
    ['an array', { email: ['ada@example.com'], password: 'violet kettle gravel' }, ['email: wrong_type']],
    ['an object', { email: 'ada@example.com', password: {} }, ['password: wrong_type']],
    ['a bad address', { email: 'ada', password: 'violet kettle gravel' }, ['email: email_invalid']],
    [
      'a bad address and a short password',
      { email: 'ada', password: 'x' },
      ['email: email_invalid', 'password: password_too_short'],
    ],
    ['a long password', { email: 'ada@example.com', password: 'v k'.repeat(43) }, ['password: password_too_long']],
    ['a common password', { email: 'ada@example.com', password: 'passwordpassword' }, ['password: password_common']],
    [
      'the own address',
      { email: 'ada.lovelace@example.com', password: 'ada.lovelace@example.com1' },
      ['password: password_predictable'],
    ],
    ['an unknown field', { ...newAccount(), admin: true }, ['body: unknown_field']],
    ['a field that every object has', { ...newAccount(), toString: 'x' }, ['body: unknown_field']],
    ['another', { ...newAccount(), hasOwnProperty: {} }, ['body: unknown_field']],
    ['a deep value', { email: nested(4000), password: 'violet kettle gravel' }, ['email: wrong_type']],
    ['a deep value in an unknown field', { ...newAccount(), x: nested(4000) }, ['body: unknown_field']],
  ])('%s', async (_, json, expected) => {
    const { status, body } = await signUp(json);
    expect(status).toBe(422);
    expect(body.code).toBe('invalid_fields');
    expect(errorsOf(body).sort()).toEqual(expected);
    for (const error of body.errors) expect(Object.keys(error).sort()).toEqual(['code', 'field', 'message']);
  });

  // Proves ASVS 16.5.1: no input gives a 500, and nothing sent comes back
  test('the name of an unknown field is not repeated', async () => {
    const { status, text } = await signUp({ ...newAccount(), 'canary-field': 1, 'canary-other': 2 });
    expect(status).toBe(422);
    expect(text).not.toContain('canary');
  });
});

// Proves ours (Passwords): ill-formed text is refused and opens nothing
test('a string with a lone surrogate is a 400', async () => {
  const raw = JSON.stringify({ email: newAccount().email, password: 'violet kettle ????' }).replace('????', '\\ud800');
  const { status } = await gatehouse.request('POST', '/auth/signup', {
    raw,
    headers: { 'Content-Type': 'application/json' },
  });
  expect(status).toBe(400);
});

// Proves 63B-4 §3.1.1.2(2), ASVS 6.2.9: 128 characters are accepted, one more is refused
// Proves 63B-4 §3.1.1.2(3), 63B-4 §3.1.1.2(5), ASVS 6.2.5: any character, and no rules of composition
// Proves 63B-4 §3.1.1.2(9), ASVS 6.2.8: the whole password counts: nothing is cut, trimmed or folded
test('128 characters of any kind work, and none of them is cut off', async () => {
  const account = await gatehouse.signUp({ password: '👍 é\t"'.repeat(21).slice(0, -1) + 'xy' });
  await gatehouse.logIn(account);
  const shorter = { ...account, password: account.password.slice(0, -1) };
  expect((await gatehouse.post('/auth/login', { email: shorter.email, password: shorter.password })).status).toBe(401);
});

// Proves PCI 8.3.2, 63B-4 §3.1.1.2(storage): a stolen database has no hash to guess against, no token and no key
test('a stolen table has no password and no plain hash', async () => {
  const { id, password } = await gatehouse.signUp();
  const [row] = await gatehouse.sql('SELECT * FROM users WHERE id = ?', [id]);
  expect(row.password_hash).toMatch(/^bcrypt-hmac-sha384:[0-9a-f]{8}\.[\w-]+$/);
  expect(JSON.stringify(row)).not.toContain(password);
  expect(JSON.stringify(row)).not.toContain('$2b$');
});
