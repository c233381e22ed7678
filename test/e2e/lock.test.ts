import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { PasswordAttempts, UNKNOWN_COUNTERS } from '../../src/auth/password-attempts.js';
import { PasswordHasher } from '../../src/auth/password-hasher.js';
import { metric } from '../support/metrics.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const LOCK = 1_800;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const guess = ({ email }: { email: string }, instance = gatehouse) =>
  instance.post('/auth/login', { email, password: 'not the right one' });
const logIn = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });

async function locked(): Promise<Account & { id: string }> {
  const account = await gatehouse.signUp();
  for (let i = 0; i < 10; i++) await guess(account);
  return account;
}

// Proves PCI 8.3.4: ten wrong passwords lock for 30 minutes, which further tries do not prolong
// Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
// Proves ASVS 6.3.7: the owner is told of what looks like somebody else
test('the tenth wrong password locks: the right one gets the same 401, and the owner a mail', async () => {
  const account = await gatehouse.signUp();
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push(await guess(account));
  answers.push(await logIn(account));
  const comparable = answers.map(({ status, body }) => JSON.stringify([status, { ...body, request_id: '' }]));
  expect(new Set(comparable).size).toBe(1);
  expect(answers[0]?.status).toBe(401);
  const mails = await gatehouse.mails(account.email);
  expect(mails.filter(({ subject }) => /locked/i.test(subject))).toHaveLength(1);
});

// Proves PCI 8.3.4: ten wrong passwords lock for 30 minutes, which further tries do not prolong
test('nine wrong ones do not, and the right one wipes them', async () => {
  const account = await gatehouse.signUp();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 9; i++) await guess(account);
    await gatehouse.logIn(account);
  }
});

// Proves PCI 8.3.4: ten wrong passwords lock for 30 minutes, which further tries do not prolong
test('the lock ends after 30 minutes to the second, whatever is tried meanwhile', async () => {
  const account = await locked();
  const { lockedUntil } = await gatehouse.app.get(PasswordAttempts).stateOf(account.email);
  const end = Number(lockedUntil);
  expect(Math.abs(end - Date.now() - LOCK * 1000)).toBeLessThan(60_000);
  const setClock = gatehouse.stopClock();
  setClock(end - 1_000);
  for (let i = 0; i < 5; i++) await guess(account);
  expect((await logIn(account)).status).toBe(401);
  setClock(end);
  await gatehouse.logIn(account);
});

// Proves PCI 8.3.4: ten wrong passwords lock for 30 minutes, which further tries do not prolong
test('after the lock there are ten tries again', async () => {
  const account = await locked();
  gatehouse.passSeconds(LOCK + 1);
  for (let i = 0; i < 9; i++) await guess(account);
  await gatehouse.logIn(account);
  gatehouse.passSeconds(-LOCK - 1);
});

// Proves 63B-4 §3.2.2: a hundred wrong ones in a row are the end of the password, until the account is recovered
// Proves ASVS 6.3.7: the owner is told of what looks like somebody else
test('a hundred in a row without a success are the end of the password, until the account is recovered', async () => {
  const account = await gatehouse.signUp();
  for (let lock = 0; lock < 10; lock++) {
    for (let i = 0; i < 10; i++) await guess(account);
    gatehouse.passSeconds(LOCK + 1);
  }
  expect((await logIn(account)).status).toBe(401);
  expect(await gatehouse.mail(account.email, /no longer accepted/)).toBeTruthy();
  const types = await gatehouse.sql('SELECT type FROM audit_events WHERE subject_id = ? AND actor_type = ?', [
    account.id,
    'system',
  ]);
  expect(types.filter(({ type }) => type === 'authn_login_lock')).toHaveLength(9);
  expect(types.filter(({ type }) => type === 'authn_login_fail_max')).toHaveLength(1);
  await gatehouse.post('/auth/password/forgot', { email: account.email });
  const token = await gatehouse.mailedToken(account.email, /^Reset/);
  const { password } = newAccount();
  expect((await gatehouse.post('/auth/password/reset', { token, new_password: password })).status).toBe(204);
  await gatehouse.logIn({ ...account, password });
  gatehouse.passSeconds(-10 * (LOCK + 1));
});

// Proves ASVS 2.3.3, ASVS 15.4.2: checks are counted before they are made: 200 guesses at once are ten looks at the password
describe('in parallel', () => {
  test('200 guesses are at most ten looks at the password; then the account is locked', async () => {
    const account = await gatehouse.signUp();
    const before = await metric(gatehouse, 'gatehouse_password_hashes_total{purpose="check"}');
    const answers = await Promise.all(Array.from({ length: 200 }, () => guess(account)));
    // 503 where the queue of hashes is full: nothing was looked at then.
    expect(answers.every(({ status }) => status === 401 || status === 503)).toBe(true);
    for (let i = 0; i < 10; i++) await guess(account);
    const looks = await gatehouse.sql(
      "SELECT id FROM audit_events WHERE subject_id = ? AND type = 'authn_login_fail' AND reason = 'wrong_password'",
      [account.id],
    );
    expect(looks).toHaveLength(10);
    expect(await metric(gatehouse, 'gatehouse_password_hashes_total{purpose="check"}')).toBe(before + 10);
    expect((await logIn(account)).status).toBe(401);
  });

  test('logins with the right password all succeed, more than there are failures left', async () => {
    const account = await gatehouse.signUp();
    for (let i = 0; i < 8; i++) await guess(account);
    const answers = await Promise.all(Array.from({ length: 12 }, () => logIn(account)));
    expect(answers.map(({ status }) => status)).toEqual(Array(12).fill(200));
  });

  test('30 logins with the right password all succeed', async () => {
    const account = await gatehouse.signUp();
    const answers = await Promise.all(Array.from({ length: 30 }, () => logIn(account)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
  });
});

// Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
// Proves PCI 8.3.4, CS Authentication: an address without an account is counted, locked and answered like one that has one
describe('20 guesses at once: nobody waits before their hash, which is one each, whatever the address is', () => {
  const TRIES = 20;
  test.each<[string, () => Promise<Account>, string, number]>([
    ['an account', () => gatehouse.signUp(), 'locked', 10],
    ['an account with failures', () => failed(gatehouse.signUp(), 3), 'locked', 7],
    ['a locked account', locked, 'locked', 0],
    ['an unknown address', async () => newAccount(), 'no_such_user', 0],
    ['an unknown address whose counter has been full again and again', fullUnknown, 'no_such_user', 0],
  ])('%s', async (_, make, result, looks) => {
    const account = await make();
    const hashes = async (purpose: string) =>
      metric(gatehouse, `gatehouse_password_hashes_total{purpose="${purpose}"}`);
    const results = () => metric(gatehouse, `gatehouse_login_attempts_total{result="${result}"}`);
    const before = [await hashes('check'), await hashes('decoy'), await results()] as const;

    // Every hash is held until there are twenty of them: had one of the tries waited for another, there would be fewer.
    const hasher = gatehouse.app.get(PasswordHasher);
    const verify = hasher.verify.bind(hasher);
    let letGo = () => {};
    const allAreThere = new Promise<void>((resolve) => (letGo = resolve));
    let arrived = 0;
    const spy = vi.spyOn(hasher, 'verify').mockImplementation(async (...call) => {
      if (++arrived === TRIES) letGo();
      await allAreThere;
      return verify(...call);
    });
    let answered = 0;
    const tries = Array.from({ length: TRIES }, () => guess(account).finally(() => (answered += 1)));
    await allAreThere;
    expect(answered).toBe(0);
    const answers = await Promise.all(tries);
    spy.mockRestore();

    const comparable = answers.map(({ status, body }) => JSON.stringify([status, { ...body, request_id: '' }]));
    expect(new Set(comparable).size).toBe(1);
    expect(await hashes('check')).toBe(before[0] + looks);
    expect(await hashes('decoy')).toBe(before[1] + TRIES - looks);
    expect(await results()).toBe(before[2] + TRIES - looks);
  });

  async function failed(account: Promise<Account>, failures: number): Promise<Account> {
    for (let i = 0; i < failures; i++) await guess(await account);
    return account;
  }

  async function fullUnknown(): Promise<Account> {
    const nobody = newAccount();
    for (let lock = 0; lock < 11; lock++) {
      await failed(Promise.resolve(nobody), 10);
      if (lock < 10) gatehouse.passSeconds(LOCK + 1);
    }
    gatehouse.passSeconds(-10 * (LOCK + 1));
    return nobody;
  }
});

// Proves PCI 8.3.4, CS Authentication: an address without an account is counted, locked and answered like one that has one
test('an unknown address is locked like any other, and never for good: its counter is that of others too', async () => {
  const nobody = newAccount();
  const counter = gatehouse.app.get(PasswordAttempts).counterOf({ identifier: nobody.email, user: null });
  const state = async () => (await gatehouse.sql('SELECT * FROM login_failures WHERE account = ?', [counter]))[0];
  for (let lock = 0; lock < 11; lock++) {
    for (let i = 0; i < 10; i++) await guess(nobody);
    const { failures, consecutive, locked_until } = await state();
    expect([failures, consecutive, locked_until === null]).toEqual([10, 0, false]);
    gatehouse.passSeconds(LOCK + 1);
  }
  gatehouse.passSeconds(-11 * (LOCK + 1));
});

// Proves PCI 8.3.4: a lock holds on every instance
test('a lock holds on every instance', async () => {
  const other = await gatehouse.another();
  const account = await gatehouse.signUp();
  for (let i = 0; i < 10; i++) await guess(account, i % 2 ? gatehouse : other);
  for (const instance of [gatehouse, other]) {
    const { email, password } = account;
    expect((await instance.post('/auth/login', { email, password })).status).toBe(401);
  }
  await other.stop();
});

// Proves PCI 8.3.4, CS Authentication: an address without an account is counted, locked and answered like one that has one
test('an unknown address is counted alike, under a digest', async () => {
  const nobody = newAccount();
  const failed = () => gatehouse.sql("SELECT * FROM login_failures WHERE account LIKE 'unknown.%' AND failures > 0");
  const before = new Set((await failed()).map(({ account }) => account));
  const rows = await gatehouse.sql('SELECT COUNT(*) AS count FROM login_failures');
  for (let i = 0; i < 12; i++) expect((await guess(nobody)).status).toBe(401);
  const added = (await failed()).filter(({ account }) => !before.has(account));
  expect(added).toMatchObject([{ failures: 10, consecutive: 0 }]);
  expect(JSON.stringify(added)).not.toContain(nobody.email);
  // Nothing is made for an address without an account: that would take another time, and never end.
  expect(await gatehouse.sql('SELECT COUNT(*) AS count FROM login_failures')).toEqual(rows);
});

// Proves ours (Throttling): thousands of unknown addresses leave a bounded number of rows
test('one password tried at thousands of addresses that have no account leaves a bounded number of rows', async () => {
  const attempts = gatehouse.app.get(PasswordAttempts);
  const counters = Array.from({ length: 10_000 }, () =>
    attempts.counterOf({ identifier: newAccount().email, user: null }),
  );
  expect(new Set(counters).size).toBeLessThanOrEqual(UNKNOWN_COUNTERS);
  // And not so few that they would wait for each other.
  expect(new Set(counters).size).toBeGreaterThan(3_000);
});

// Proves ASVS 2.3.3, ASVS 15.4.2: checks are counted before they are made: 200 guesses at once are ten looks at the password
test('checks that died with their process count as failures, and block nobody', async () => {
  const account = await gatehouse.signUp();
  await guess(account);
  await gatehouse.sql('UPDATE login_failures SET reserved = 9, reserved_until = ? WHERE failures = 1', [
    new Date(Date.now() - 1_000).toISOString().replace('T', ' ').replace('Z', ''),
  ]);
  await gatehouse.logIn(account);
});
