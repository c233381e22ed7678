// Proves ASVS 14.2.7: what is no longer needed is deleted, to the second
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { PurgeService } from '../../src/auth/purge.service.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const purge = () => gatehouse.app.get(PurgeService).purge();
const count = async (table: string) => Number((await gatehouse.sql(`SELECT COUNT(*) AS n FROM ${table}`))[0].n);

// Proves ours (Sessions): a revocation outlives every access token that it concerns
test('a revocation goes a minute after the last access token it concerns, not before', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  await gatehouse.post('/auth/logout', undefined, { token });
  gatehouse.passSeconds(300 + 55);
  expect(await purge()).toMatchObject({ sessions: 0, revocations: 0 });
  gatehouse.passSeconds(10);
  expect(await purge()).toMatchObject({ sessions: 0, revocations: 1 });
  expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
  gatehouse.passSeconds(-365);
});

test('a session goes a day after its absolute end, live, expired or ended; until then its tokens are known', async () => {
  const account = await gatehouse.signUp();
  const [ended, live] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
  await gatehouse.post('/auth/logout', undefined, { token: ended.access_token });
  const before = await count('sessions');
  gatehouse.passSeconds(2_592_000 + 86_390);
  await purge();
  expect(await count('sessions')).toBe(before);
  expect((await gatehouse.post('/auth/logout', { refresh_token: live.refresh_token })).status).toBe(204);
  gatehouse.passSeconds(20);
  await purge();
  expect(await count('sessions')).toBe(0);
  expect((await gatehouse.post('/auth/logout', { refresh_token: live.refresh_token })).status).toBe(401);
  gatehouse.passSeconds(-(2_592_000 + 86_410));
});

test('the token of a link goes a day after it expired, used or not', async () => {
  const { email } = await gatehouse.signUp();
  await gatehouse.post('/auth/password/forgot', { email });
  await gatehouse.post('/auth/email/resend', { email });
  const token = await gatehouse.mailedToken(email, /^Confirm/);
  expect((await gatehouse.post('/auth/email/verify', { token })).status).toBe(204);
  const purposes = async () =>
    (await gatehouse.sql('SELECT purpose FROM one_time_tokens')).map((row) => row.purpose).sort();
  gatehouse.passSeconds(1_800 + 86_395);
  expect(await purge()).toMatchObject({ links: 0 });
  gatehouse.passSeconds(10);
  expect(await purge()).toMatchObject({ links: 1 });
  expect(await purposes()).toEqual(['verify_email']);
  gatehouse.passSeconds(86_400 - 1_800);
  expect(await purge()).toMatchObject({ links: 1 });
  gatehouse.passSeconds(-(86_405 + 86_400));
});

test('a device, and what failed there, go ninety days after the last login', async () => {
  const account = await gatehouse.signUp();
  const { device_token } = await gatehouse.logIn(account);
  await gatehouse.post('/auth/login', { email: account.email, password: 'not the right one', device_token });
  const counters = await count('login_failures');
  gatehouse.passSeconds(90 * 86_400 - 5);
  expect(await purge()).toMatchObject({ login_failures: 0, devices: 0 });
  gatehouse.passSeconds(10);
  expect((await purge()).devices).toBeGreaterThan(0);
  expect(await count('devices')).toBe(0);
  expect(await count('login_failures')).toBe(counters - 1);
  gatehouse.passSeconds(-(90 * 86_400 + 5));
});

test('what an older master key counted goes after thirty days, what the newest counts stays', async () => {
  const account = await gatehouse.signUp();
  const wrong = { email: account.email, password: 'not the right one' };
  await gatehouse.post('/auth/login', wrong);
  const newKey = randomBytes(32).toString('base64');
  const rotated = await gatehouse.another({ MASTER_KEY: `${newKey},${gatehouse.env.MASTER_KEY}` });
  await rotated.post('/auth/login', wrong);
  const counterOf = (instance: Gatehouse) => instance.app.get(PasswordAttempts).accountOf(account.email);
  const counters = [counterOf(gatehouse), counterOf(rotated)];
  const left = async () => {
    const rows = await gatehouse.sql('SELECT account FROM login_failures WHERE account IN (?, ?)', counters);
    return rows.map((row) => row.account).sort();
  };
  const purgeIt = () => rotated.app.get(PurgeService).purge();

  rotated.passSeconds(30 * 86_400 - 60);
  expect(await purgeIt()).toMatchObject({ login_failures: 0 });
  rotated.passSeconds(120);
  expect(await purgeIt()).toMatchObject({ login_failures: 0 }); // looked for once a day
  rotated.passSeconds(86_400);
  expect((await purgeIt()).login_failures).toBeGreaterThanOrEqual(1);
  expect(await left()).toEqual([counters[1]]);
  await rotated.stop();
});

test('a deleted account leaves nothing that was counted, under any master key', async () => {
  const account = await gatehouse.signUp();
  const counter = gatehouse.app.get(PasswordAttempts).accountOf(account.email);
  const newKey = randomBytes(32).toString('base64');
  const rotated = await gatehouse.another({ MASTER_KEY: `${newKey},${gatehouse.env.MASTER_KEY}` });
  const { access_token: token } = await rotated.logIn(account);
  const body = { current_password: account.password };
  expect((await rotated.post('/users/me/deletion', body, { token })).status).toBe(204);
  const counters = [counter, rotated.app.get(PasswordAttempts).accountOf(account.email)];
  expect(await gatehouse.sql('SELECT account FROM login_failures WHERE account IN (?, ?)', counters)).toEqual([]);
  await rotated.stop();
});

test('thousands go in batches, and several instances may do it at once', async () => {
  const rows = 1_700;
  const old = '2020-01-01 00:00:00.000';
  for (let from = 0; from < rows; from += 100) {
    const values = Array.from({ length: 100 }, (_, i) => `('sid', 'dead-${from + i}', '${old}', '${old}')`);
    await gatehouse.sql(`INSERT INTO revocations (kind, value, expires_at, created_at) VALUES ${values.join()}`);
  }
  const other = await gatehouse.another();
  await Promise.all([purge(), other.app.get(PurgeService).purge(), purge()]);
  await purge();
  expect(await gatehouse.sql("SELECT seq FROM revocations WHERE value LIKE 'dead-%'")).toEqual([]);
  await other.stop();
});
