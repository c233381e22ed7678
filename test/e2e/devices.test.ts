import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_DEVICES } from '../../src/auth/device-tokens.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const LOCK = 1_800;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const post = ({ email, password }: Account, device_token?: string) =>
  gatehouse.post('/auth/login', { email, password, ...(device_token !== undefined && { device_token }) });
const guess = ({ email }: Account, device_token?: string) =>
  post({ email, password: 'not the right one' }, device_token);

/** Logs in, with the token of the login before. @returns the token for the next. */
async function logInOn(account: Account, device?: string): Promise<string> {
  const { status, body, text } = await post(account, device);
  expect(status, text).toBe(200);
  return body.device_token;
}

async function failTen(account: Account, device?: string): Promise<void> {
  for (let i = 0; i < 10; i++) expect((await guess(account, device)).status).toBe(401);
}

// Proves ASVS 6.1.1: a device that has logged in before is not kept out by the failures of others
describe('a device that has logged in before', () => {
  test('gets in while somebody else has locked the account', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    await failTen(account);
    expect((await post(account)).status).toBe(401);
    await logInOn(account, device);
    // What it did right lifts nobody else's lock.
    expect((await post(account)).status).toBe(401);
  });

  test('gets in when a hundred wrong ones of others have ended the password for them', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    for (let lock = 0; lock < 10; lock++) {
      await failTen(account);
      gatehouse.passSeconds(LOCK + 1);
    }
    expect((await post(account)).status).toBe(401);
    await logInOn(account, device);
    gatehouse.passSeconds(-10 * (LOCK + 1));
  });

  test('has ten failures of its own, and they lock nobody else', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    await failTen(account, device);
    expect((await post(account, device)).status).toBe(401);
    await logInOn(account);
    expect((await post(account, device)).status).toBe(401);
    gatehouse.passSeconds(LOCK + 1);
    await logInOn(account, device);
    gatehouse.passSeconds(-LOCK - 1);
  });

  test('a right password wipes its failures', async () => {
    const account = await gatehouse.signUp();
    let device = await logInOn(account);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 9; i++) await guess(account, device);
      device = await logInOn(account, device);
    }
  });
});

// Proves ours (Throttling): a device token is forged by nobody, used once, and dead after a new password
describe('a device token', () => {
  test('is replaced at every login; the one before counts as none', async () => {
    const account = await gatehouse.signUp();
    const first = await logInOn(account);
    const second = await logInOn(account, first);
    expect(second).not.toBe(first);
    expect(second.split('.')[0]).toBe(first.split('.')[0]);
    await failTen(account);
    expect((await post(account, first)).status).toBe(401);
    await logInOn(account, second);
  });

  test('used by ten logins at once goes on as one device', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    const next = await Promise.all(Array.from({ length: 10 }, () => logInOn(account, device)));
    const id = device.split('.')[0];
    expect(next.filter((token) => token.split('.')[0] === id)).toHaveLength(1);
  });

  test('is good for its account alone', async () => {
    const [mine, other] = [await gatehouse.signUp(), await gatehouse.signUp()];
    const device = await logInOn(mine);
    await failTen(other);
    expect((await post(other, device)).status).toBe(401);
  });

  test.each([
    ['forged', (token: string) => token.replace(/.{4}$/, 'AAAA')],
    ['of a later generation', (token: string) => token.replace('.0.', '.1.')],
    ['cut', (token: string) => token.slice(0, -1)],
    ['with more behind it', (token: string) => `${token}.x`],
    ['empty', () => ''],
    ['of our kind by its looks', () => `6f1e7c52-3a0f-4a52-9d0e-2f9f4d1f7c11.0.${'A'.repeat(43)}`],
    ['another text', () => "' OR 1=1 --"],
  ])('%s counts as none, and logs in all the same', async (_, changed) => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    await logInOn(account, changed(device));
    await failTen(account);
    expect((await post(account, changed(device))).status).toBe(401);
  });

  // Proves RFC 8725 §3.11, RFC 8725 §3.12, ASVS 9.2.2: no kind of token passes for another; those that are no access tokens are opaque
  test('opens nothing by itself', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    expect((await gatehouse.get('/users/me', { token: device })).status).toBe(401);
    expect((await gatehouse.post('/auth/refresh', { refresh_token: device })).status).toBe(401);
  });

  // Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
  test('of another type is a 422', async () => {
    const account = await gatehouse.signUp();
    const { email, password } = account;
    for (const device_token of [1, null, {}, ['x']]) {
      expect((await gatehouse.post('/auth/login', { email, password, device_token })).status).toBe(422);
    }
  });

  // Proves ours (Recovery and mail): no password chosen by somebody else opens an account
  test('of a stranger who signed up with the address is dead once its owner has chosen a password', async () => {
    const stranger = await gatehouse.signUp();
    const device = await logInOn(stranger);
    await gatehouse.post('/auth/email/resend', { email: stranger.email });
    const token = await gatehouse.mailedToken(stranger.email, /^Confirm/);
    const owner = { ...stranger, password: newAccount().password };
    const answer = await gatehouse.post('/auth/email/verify', { token, new_password: owner.password });
    expect(answer.status).toBe(204);
    expect(await gatehouse.sql('SELECT id FROM devices WHERE user_id = ?', [stranger.id])).toEqual([]);
    await failTen(owner, device); // counted for the account, which has ten like anybody's
    expect((await post(owner, device)).status).toBe(401);
  });

  test('is dead after a new password: a stranger may have one', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    const { access_token } = await gatehouse.logIn(account);
    const password = newAccount().password;
    const change = { current_password: account.password, new_password: password };
    expect((await gatehouse.put('/users/me/password', change, { token: access_token })).status).toBe(204);
    await failTen(account);
    expect((await post({ ...account, password }, device)).status).toBe(401);
  });

  // Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
  test('works under a new master key, as long as the old one is in the list', async () => {
    const account = await gatehouse.signUp();
    const device = await logInOn(account);
    const newKey = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64');
    const other = await gatehouse.another({ MASTER_KEY: `${newKey},${gatehouse.env['MASTER_KEY']}` });
    const { email, password } = account;
    for (let i = 0; i < 10; i++) await other.post('/auth/login', { email, password: 'not the right one' });
    expect((await other.post('/auth/login', { email, password })).status).toBe(401);
    const { status, text } = await other.post('/auth/login', { email, password, device_token: device });
    expect(status, text).toBe(200);
    await other.stop();
  });
});

test('an account knows twenty devices; one more forgets the one that was not used for longest', async () => {
  const account = await gatehouse.signUp();
  const first = await logInOn(account);
  const second = await logInOn(account);
  for (let i = 0; i < MAX_DEVICES - 1; i++) {
    gatehouse.passSeconds(1);
    await logInOn(account);
  }
  gatehouse.passSeconds(1 - MAX_DEVICES);
  const rows = await gatehouse.sql('SELECT id FROM devices WHERE user_id = ?', [account.id]);
  expect(rows).toHaveLength(MAX_DEVICES);
  const ids = rows.map(({ id }) => id);
  expect(ids).not.toContain(first.split('.')[0]);
  expect(ids).toContain(second.split('.')[0]);
});
