import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const HALF_HOUR = 1_800;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({ RATE_LIMIT_ACCOUNT_MAIL: '20/3600' });
});
afterAll(() => gatehouse.stop());

const forgot = (email: string) => gatehouse.post('/auth/password/forgot', { email });
const reset = (token: string, newPassword: string) =>
  gatehouse.post('/auth/password/reset', { token, new_password: newPassword });
const logIn = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });
const linkOf = (email: string) => gatehouse.mailedToken(email, /^Reset/);
const newPassword = () => newAccount().password;

async function linkFor(email: string): Promise<string> {
  expect((await forgot(email)).status).toBe(202);
  return linkOf(email);
}

// Proves ASVS 7.4.3: a new password ends the other sessions, a reset every one
// Proves ASVS 6.3.6, 63B-4 §3.1.3: a reset logs nobody in
// Proves ASVS 6.3.7, 63B-4 §4.2.3, 63B-4 §4.6: the owner is told of every change, at both addresses when it is the address
test('sets the password, ends every session, verifies the address and logs nobody in', async () => {
  const account = await gatehouse.signUp();
  const sessions = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
  const changed = { ...account, password: newPassword() };
  const answer = await reset(await linkFor(account.email), changed.password);
  expect([answer.status, answer.text]).toEqual([204, '']);
  for (const { access_token: token, refresh_token } of sessions) {
    expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
    expect((await gatehouse.post('/auth/refresh', { refresh_token })).status).toBe(401);
  }
  expect((await logIn(account)).status).toBe(401);
  const { access_token: token } = await gatehouse.logIn(changed);
  expect((await gatehouse.get('/users/me', { token })).body.email_verified).toBe(true);
  await gatehouse.mail(account.email, /password was changed/i);
});

// Proves CS Forgot Password: forgot and resend answer alike, in the same time, for every address
test('forgot answers 202 for every address, and mails only who has an account', async () => {
  const { email } = await gatehouse.signUp();
  const before = gatehouse.smtp!.messages.length;
  for (const address of [email.toUpperCase(), newAccount().email, 'no address']) {
    const { status, text } = await forgot(address);
    expect([status, text]).toEqual([202, '{}']);
  }
  await gatehouse.sendMails();
  expect(gatehouse.smtp!.messages.slice(before).map(({ to }) => to.join())).toEqual([email]);
});

describe('the link', () => {
  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('works once: of 20 uses at once one succeeds, and its password is the one that works', async () => {
    const { email } = await gatehouse.signUp();
    const token = await linkFor(email);
    const passwords = Array.from({ length: 20 }, newPassword);
    const answers = await Promise.all(passwords.map((password) => reset(token, password)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(answers.filter(({ body }) => body?.code === 'invalid_or_expired_token')).toHaveLength(19);
    const winner = passwords[answers.findIndex(({ status }) => status === 204)] as string;
    await gatehouse.logIn({ email, password: winner });
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('works in the last second of its 30 minutes, and not in the next', async () => {
    const [inTime, late] = [await gatehouse.signUp(), await gatehouse.signUp()];
    const [good, old] = [await linkFor(inTime.email), await linkFor(late.email)];
    gatehouse.passSeconds(HALF_HOUR - 10);
    expect((await reset(good, newPassword())).status).toBe(204);
    gatehouse.passSeconds(11);
    expect((await reset(old, newPassword())).body.code).toBe('invalid_or_expired_token');
    gatehouse.passSeconds(-HALF_HOUR - 1);
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('is dead once a newer one was asked for, and once the password has changed', async () => {
    const account = await gatehouse.signUp();
    const older = await linkFor(account.email);
    const newer = await linkFor(account.email);
    expect((await reset(older, newPassword())).status).toBe(422);
    const { access_token: token } = await gatehouse.logIn(account);
    const body = { current_password: account.password, new_password: newPassword() };
    expect((await gatehouse.put('/users/me/password', body, { token })).status).toBe(204);
    expect((await reset(newer, newPassword())).body.code).toBe('invalid_or_expired_token');
  });

  // Proves ASVS 6.2.4: common passwords are refused: at least 3000 that would be long enough
  test('is as good as before when the password is refused', async () => {
    const account = await gatehouse.signUp();
    const token = await linkFor(account.email);
    for (const [password, code] of [
      ['short', 'password_too_short'],
      ['passwordpassword', 'password_common'],
      [account.email, 'password_predictable'],
      [account.password, 'password_reused'],
    ] as const) {
      const { status, body } = await reset(token, password);
      expect(status).toBe(422);
      expect(body.errors).toMatchObject([{ field: 'new_password', code }]);
    }
    expect((await reset(token, newPassword())).status).toBe(204);
  });

  // Proves RFC 8725 §3.11, RFC 8725 §3.12, ASVS 9.2.2: no kind of token passes for another; those that are no access tokens are opaque
  test('of another kind does not do', async () => {
    const { email } = await gatehouse.signUp();
    await gatehouse.post('/auth/email/resend', { email });
    const verification = await gatehouse.mailedToken(email, /^Confirm/);
    expect((await reset(verification, newPassword())).body.code).toBe('invalid_or_expired_token');
  });

  // Proves CS Forgot Password: the address in a link comes from the configuration, whatever a request says
  test('is built from PUBLIC_URL, whatever the request says it came for', async () => {
    const { email } = await gatehouse.signUp();
    const headers = { 'X-Forwarded-Host': 'evil.example', Forwarded: 'host=evil.example' };
    await gatehouse.post('/auth/password/forgot', { email }, { headers });
    const { raw } = await gatehouse.mail(email, /^Reset/);
    expect(raw).not.toContain('evil.example');
    expect((await gatehouse.mail(email, /^Reset/)).text).toMatch(
      /^http:\/\/localhost:0\/reset-password#token=[\w-]{43}$/m,
    );
  });

  // Proves CS Forgot Password: the address in a link comes from the configuration, whatever a request says
  test('goes where RESET_URL says', async () => {
    const own = await gatehouse.another({
      RESET_URL: 'https://app.example/reset',
      VERIFY_URL: 'https://app.example/verify',
    });
    const { email } = await own.signUp();
    await own.post('/auth/password/forgot', { email });
    expect((await own.mail(email, /^Reset/)).text).toMatch(/^https:\/\/app\.example\/reset#token=[\w-]{43}$/m);
    await own.post('/auth/email/resend', { email });
    expect((await own.mail(email, /^Confirm/)).text).toMatch(/^https:\/\/app\.example\/verify#token=[\w-]{43}$/m);
    await own.stop();
  });

  // Proves ASVS 14.2.1: no secret is read from an address, and none is put into one that a server sees
  test('in a query or a GET does nothing', async () => {
    const { email } = await gatehouse.signUp();
    const token = await linkFor(email);
    expect((await gatehouse.get(`/auth/password/reset?token=${token}`)).status).toBe(405);
    expect((await gatehouse.get(`/reset-password?token=${token}`)).status).toBe(200);
    expect((await gatehouse.post(`/auth/password/reset?token=${token}`, { new_password: newPassword() })).status).toBe(
      422,
    );
    expect((await reset(token, newPassword())).status).toBe(204);
  });
});

// Proves PCI 8.3.4, CS Forgot Password: recovery works while the account is locked, and lifts the lock
test('lifts a lock', async () => {
  const account = await gatehouse.signUp();
  for (let i = 0; i < 10; i++) await logIn({ ...account, password: 'not the right one' });
  expect((await logIn(account)).status).toBe(401);
  const changed = { ...account, password: newPassword() };
  expect((await reset(await linkFor(account.email), changed.password)).status).toBe(204);
  await gatehouse.logIn(changed);
});

// Proves PCI 8.3.7: not one of the present password and the four before it
test('refuses the present password and the four before it, and takes the fifth again', async () => {
  const account = await gatehouse.signUp();
  const used = [account.password];
  for (let i = 0; i < 5; i++) {
    const password = newPassword();
    expect((await reset(await linkFor(account.email), password)).status).toBe(204);
    used.push(password);
  }
  const token = await linkFor(account.email);
  for (const password of used.slice(1)) {
    expect((await reset(token, password)).body.errors[0].code).toBe('password_reused');
  }
  expect((await reset(token, used[0] as string)).status).toBe(204);
  expect(await gatehouse.sql('SELECT id FROM former_passwords WHERE user_id = ?', [account.id])).toHaveLength(4);
});

// Proves ours (Recovery and mail): no password chosen by somebody else opens an account
test('leaves nothing of a stranger who signed up with the address', async () => {
  const strict = await gatehouse.another({ EMAIL_VERIFICATION: 'required' });
  const stranger = newAccount();
  await strict.post('/auth/signup', stranger);
  const verification = await strict.mailedToken(stranger.email, /^Confirm/);
  const owner = { ...stranger, password: newPassword() };
  const token = await linkFor(owner.email);
  // The stranger's password is no former one of the owner's: nothing tells that somebody has used it.
  expect((await reset(token, owner.password)).status).toBe(204);
  const [{ id }] = await gatehouse.sql('SELECT id FROM users WHERE email_canonical = ?', [owner.email]);
  expect(await gatehouse.sql('SELECT id FROM former_passwords WHERE user_id = ?', [id])).toEqual([]);
  expect((await gatehouse.post('/auth/email/verify', { token: verification })).status).toBe(422);
  expect((await logIn(stranger)).status).toBe(401);
  await strict.logIn(owner);
  await strict.stop();
});

// Proves ours (Recovery and mail): a login that checked the old password while a reset went through opens no session
test('a login that checked the old password while the reset went through opens no session', async () => {
  const account = await gatehouse.signUp();
  const token = await linkFor(account.email);
  const logins = Array.from({ length: 8 }, () => logIn(account));
  const answers = await Promise.all([...logins, reset(token, newPassword())]);
  expect(answers.at(-1)?.status).toBe(204);
  const live = await gatehouse.sql('SELECT id FROM sessions WHERE user_id = ? AND ended_at IS NULL', [account.id]);
  expect(live).toEqual([]);
});
