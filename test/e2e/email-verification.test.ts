import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PurgeService } from '../../src/auth/purge.service.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer } from '../support/server-process.js';

const DAY = 86_400;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({ EMAIL_VERIFICATION: 'required' });
});
afterAll(() => gatehouse.stop());

const signUp = (account: Account) => gatehouse.post('/auth/signup', account);
const logIn = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });
const verify = (token: string, newPassword?: string) =>
  gatehouse.post('/auth/email/verify', { token, ...(newPassword !== undefined && { new_password: newPassword }) });
const resend = (email: string) => gatehouse.post('/auth/email/resend', { email });
const linkOf = (email: string) => gatehouse.mailedToken(email, /^Confirm/);

async function verified(): Promise<Account> {
  const account = newAccount();
  await signUp(account);
  expect((await verify(await linkOf(account.email))).status).toBe(204);
  return account;
}

describe('sign-up', () => {
  // Proves ASVS 6.3.8, CS Authentication: a sign-up that must be verified says the same, in the same time, for every address
  test('the same answer, byte by byte, for a new address, a waiting one and one that has an account', async () => {
    const [fresh, waiting, taken] = [newAccount(), newAccount(), await verified()];
    await signUp(waiting);
    const answers = [];
    for (const { email } of [fresh, waiting, taken]) answers.push(await signUp(newAccount({ email })));
    const comparable = answers.map(({ status, text, headers }) => {
      const rest = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name));
      return JSON.stringify({ status, text, rest });
    });
    expect(comparable[0]).toContain('"status":202,"text":"{}"');
    expect(new Set(comparable).size).toBe(1);
  });

  // Proves ASVS 6.3.8, CS Authentication: a sign-up that must be verified says the same, in the same time, for every address
  test('what is refused is refused alike', async () => {
    const { email } = await verified();
    const { status, body } = await signUp({ email, password: 'short' });
    expect(status).toBe(422);
    expect(body.errors[0].code).toBe('password_too_short');
  });

  // Proves ASVS 6.3.7: the owner is told of what looks like somebody else
  test('the owner of a taken address is told, and nothing changes', async () => {
    const account = await verified();
    await signUp(newAccount({ email: account.email.toUpperCase() }));
    const mail = await gatehouse.mail(account.email, /already have an account/i);
    expect(mail.text).not.toContain('#token=');
    expect((await logIn(account)).status).toBe(200);
  });

  // Proves ours (Recovery and mail): no password chosen by somebody else opens an account
  test('20 at once for one address make one account, which its owner gets', async () => {
    const { email } = newAccount();
    const attempts = Array.from({ length: 20 }, () => newAccount({ email }));
    const answers = await Promise.all(attempts.map(signUp));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(await gatehouse.sql('SELECT id FROM users WHERE email_canonical = ?', [email])).toHaveLength(1);
    for (const attempt of attempts) expect((await logIn(attempt)).status).toBe(401);
    const { password } = newAccount();
    const links = (await gatehouse.mails(email)).map(({ text }) => /#token=([\w-]{43})$/m.exec(text)?.[1] as string);
    const outcomes = [];
    for (const link of links) outcomes.push((await verify(link, password)).status);
    expect(outcomes.filter((status) => status === 204)).toHaveLength(1);
    expect((await logIn({ email, password })).status).toBe(200);
  });
});

describe('an account that is not verified', () => {
  // Proves ASVS 6.3.8, CS Authentication: what is wrong with an account is told after the right password alone
  test('cannot log in: 403 after the right password, before that the ordinary 401', async () => {
    const account = newAccount();
    await signUp(account);
    const right = await logIn(account);
    expect(right.status).toBe(403);
    expect(right.body.code).toBe('email_not_verified');
    expect((await logIn({ ...account, password: 'not the right one' })).body.code).toBe('invalid_credentials');
    await verify(await linkOf(account.email));
    const { access_token: token } = await gatehouse.logIn(account);
    expect((await gatehouse.get('/users/me', { token })).body.email_verified).toBe(true);
  });

  // Proves ours (Recovery and mail): no password chosen by somebody else opens an account
  test('loses its password and its links when somebody signs up with the address again', async () => {
    const [stranger, owner] = [newAccount(), newAccount()];
    owner.email = stranger.email;
    await signUp(stranger);
    const firstLink = await linkOf(stranger.email);
    await signUp(owner);
    expect((await verify(firstLink)).body.code).toBe('invalid_or_expired_token');
    for (const account of [stranger, owner]) expect((await logIn(account)).status).toBe(401);

    const link = await linkOf(stranger.email);
    expect(link).not.toBe(firstLink);
    const unfinished = await verify(link);
    expect(unfinished.status).toBe(422);
    expect(unfinished.body.code).toBe('password_required');
    const refused = await verify(link, 'too short');
    expect(refused.body.errors).toMatchObject([{ field: 'new_password', code: 'password_too_short' }]);
    const chosen = newAccount({ email: stranger.email });
    expect((await verify(link, chosen.password)).status).toBe(204);
    for (const account of [stranger, owner]) expect((await logIn(account)).status).toBe(401);
    await gatehouse.logIn(chosen);
  });

  // Proves ASVS 14.2.7: what is no longer needed is deleted, to the second
  test('is purged after seven days, and its address is free; a verified one stays', async () => {
    const [waiting, stays] = [newAccount(), await verified()];
    await signUp(waiting);
    const link = await linkOf(waiting.email);
    gatehouse.passSeconds(7 * DAY - 5);
    await gatehouse.app.get(PurgeService).purge();
    const rows = () => gatehouse.sql('SELECT id FROM users WHERE email_canonical = ?', [waiting.email]);
    expect(await rows()).toHaveLength(1);
    gatehouse.passSeconds(10);
    await gatehouse.app.get(PurgeService).purge();
    expect(await rows()).toEqual([]);
    gatehouse.passSeconds(-7 * DAY - 5);
    expect((await verify(link)).body.code).toBe('invalid_or_expired_token');
    await gatehouse.logIn(stays);
  });
});

test('a second sign-up starts the seven days again', async () => {
  const account = newAccount();
  await signUp(account);
  gatehouse.passSeconds(6 * DAY);
  await signUp(account);
  await gatehouse.sendMails();
  gatehouse.passSeconds(2 * DAY);
  await gatehouse.app.get(PurgeService).purge();
  expect(await gatehouse.sql('SELECT id FROM users WHERE email_canonical = ?', [account.email])).toHaveLength(1);
  gatehouse.passSeconds(-8 * DAY);
});

describe('the link', () => {
  // Proves ASVS 14.2.1: no secret is read from an address, and none is put into one that a server sees
  // Proves ours (Recovery and mail): a mail scanner that opens a link uses nothing up
  test('is in the fragment of a page of ours, and a GET of the page uses nothing up', async () => {
    const account = newAccount();
    await signUp(account);
    const token = await linkOf(account.email);
    const { text, html } = await gatehouse.mail(account.email, /^Confirm/);
    const link = `http://localhost:0/verify-email#token=${token}`;
    expect(text).toContain(link);
    expect(html).toContain(link);
    for (let i = 0; i < 3; i++) expect((await gatehouse.get('/verify-email')).status).toBe(200);
    expect((await verify(token)).status).toBe(204);
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('works once: of 20 uses at once one succeeds', async () => {
    const account = newAccount();
    await signUp(account);
    const token = await linkOf(account.email);
    const answers = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(answers.filter(({ body }) => body?.code === 'invalid_or_expired_token')).toHaveLength(19);
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('works in the last second of its 24 hours, and not in the next', async () => {
    const [inTime, late] = [newAccount(), newAccount()];
    for (const account of [inTime, late]) await signUp(account);
    const [good, old] = [await linkOf(inTime.email), await linkOf(late.email)];
    gatehouse.passSeconds(DAY - 10);
    expect((await verify(good)).status).toBe(204);
    gatehouse.passSeconds(11);
    expect((await verify(old)).body.code).toBe('invalid_or_expired_token');
    gatehouse.passSeconds(-DAY - 1);
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('is dead once a newer one was asked for', async () => {
    const account = newAccount();
    await signUp(account);
    const older = await linkOf(account.email);
    expect((await resend(account.email)).status).toBe(202);
    const newer = await linkOf(account.email);
    expect(newer).not.toBe(older);
    expect((await verify(older)).status).toBe(422);
    expect((await verify(newer)).status).toBe(204);
  });

  test.each([
    ['empty', ''],
    ['not a token', 'x'],
    ['of nobody', 'A'.repeat(43)],
    ['with a NUL', `${'A'.repeat(42)}\u0000`],
    ['a lone surrogate', '\ud800'],
  ])('that is %s is a 422', async (_, token) => {
    const { status, body } = await verify(token);
    expect(status).toBe(422);
    expect(body.code).toBe('invalid_or_expired_token');
  });

  // Proves RFC 8725 §3.11, RFC 8725 §3.12, ASVS 9.2.2: no kind of token passes for another; those that are no access tokens are opaque
  test('of another kind does not do', async () => {
    const account = await verified();
    await gatehouse.post('/auth/password/forgot', { email: account.email });
    const reset = await gatehouse.mailedToken(account.email, /^Reset/);
    expect((await verify(reset)).body.code).toBe('invalid_or_expired_token');
    expect((await gatehouse.post('/auth/email/confirm-change', { token: reset })).status).toBe(422);
  });

  // Proves PCI 8.3.2, 63B-4 §3.1.1.2(storage): a stolen database has no hash to guess against, no token and no key
  test('is only a digest in the table', async () => {
    const account = newAccount();
    await signUp(account);
    const token = await linkOf(account.email);
    const rows = await gatehouse.sql('SELECT * FROM one_time_tokens');
    expect(JSON.stringify(rows)).not.toContain(token);
    expect(Buffer.from(rows[0].token_hash)).toHaveLength(32);
    expect(JSON.stringify(await gatehouse.sql('SELECT * FROM outbox'))).not.toContain(token);
  });
});

describe('resend', () => {
  // Proves CS Forgot Password: forgot and resend answer alike, in the same time, for every address
  test('answers 202 whatever the address is, and mails only who waits', async () => {
    const [waiting, done, nobody] = [newAccount(), await verified(), newAccount()];
    await signUp(waiting);
    await gatehouse.sendMails();
    const before = gatehouse.smtp!.messages.length;
    for (const email of [waiting.email, done.email, nobody.email, 'no address', '']) {
      const { status, text } = await resend(email);
      expect([status, text]).toEqual([202, '{}']);
    }
    await gatehouse.sendMails();
    expect(gatehouse.smtp!.messages.slice(before).map(({ to }) => to.join())).toEqual([waiting.email]);
  });
});

test('an account that was used before verification became required waits for it, and is not purged', async () => {
  const relaxed = await gatehouse.another({ EMAIL_VERIFICATION: 'none' });
  const account = await relaxed.signUp();
  await relaxed.logIn(account);
  await relaxed.stop();
  expect((await logIn(account)).body.code).toBe('email_not_verified');
  gatehouse.passSeconds(8 * DAY);
  await gatehouse.app.get(PurgeService).purge();
  await resend(account.email);
  expect((await verify(await linkOf(account.email))).status).toBe(204);
  await gatehouse.logIn(account);
  gatehouse.passSeconds(-8 * DAY);
});

test('an account that waited, and was used once verification was no longer required, is not purged', async () => {
  const account = newAccount();
  await signUp(account);
  const relaxed = await gatehouse.another({ EMAIL_VERIFICATION: 'none' });
  await relaxed.logIn(account);
  relaxed.passSeconds(8 * DAY);
  await relaxed.app.get(PurgeService).purge();
  await relaxed.logIn(account);
  await relaxed.stop();
});

// Two instances of one process on SQLite cannot wait for each other.
if (isDatabaseServer()) {
  test('of several instances one answers a request for mail', async () => {
    const account = newAccount();
    const other = await gatehouse.another();
    await signUp(account);
    await Promise.all([gatehouse.sendMails(), other.sendMails()]);
    expect(gatehouse.smtp!.messages.filter(({ to }) => to.includes(account.email))).toHaveLength(1);
    await other.stop();
  });
}
