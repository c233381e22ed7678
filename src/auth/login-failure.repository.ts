import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, LessThan, Like, type DataSource, type EntityManager } from 'typeorm';
import { isSqlite } from '../database/data-source.js';
import { deleteBatch } from '../database/delete-batch.js';
import { plusSeconds } from '../common/clock.js';
import { change, instantText } from '../database/raw-rows.js';
import { inTransaction, withoutDeadlock } from '../database/transaction.js';
import { LoginFailure } from './login-failure.entity.js';

/** The tenth wrong password locks (PCI DSS 8.3.4: at most 10). */
export const MAX_FAILURES = 10;
/** After so many without a success or a recovery no password opens the account (63B-4, section 3.2.2: at most 100). */
export const MAX_CONSECUTIVE_FAILURES = 100;
/**
 * Longer than a full hash queue takes, at the highest cost: the last of one thread's 65 hashes comes after 260 s when one
 * of cost 15, the configured one or an imported account's, takes 4 s. What lapsed while it was still under way would let
 * more than ten looks be.
 */
const RESERVATION_SECONDS = 300;

/** What a failure has led to. */
export interface Settlement {
  /** It locks from now on. */
  isLock: boolean;
  /** It was the last one: no password opens the account any more. */
  isLast: boolean;
  /** No password is looked at now: for a while, or before a recovery. */
  isLocked: boolean;
}

/** A failure as it is settled. */
export interface Failure {
  /** There was a look at the password, and it was wrong. */
  isGranted: boolean;
  /** The counter is one that addresses without an account share. */
  isShared: boolean;
}

/** Each statement reads what it decides on; of the columns it sets, only those that it sets later: MySQL goes from left to right. */
@Injectable()
export class LoginFailureRepository {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /**
   * Asks for one look at a password. Failures and looks under way together are never more than ten. What is refused, by
   * a lock or because those under way have to end first, changes nothing but the time of the last try, and takes as long
   * as what is granted.
   */
  reserve(account: string, now: Date): Promise<boolean> {
    return isSqlite(this.dataSource) ? this.reserveWithin(account, now) : this.reserveAtOnce(account, now);
  }

  /**
   * A check found the wrong password. One that was not granted changes nothing but the time of the last try, and takes as
   * long. A shared counter locks, and never for good: the next ten tries there are somebody else's.
   *
   * @param until when the lock ends if this is the failure that locks.
   */
  async fail(
    account: string,
    { isGranted, isShared }: Failure,
    now: Date,
    until: Date,
    transaction: EntityManager,
  ): Promise<Settlement> {
    await transaction
      .createQueryBuilder()
      .update(LoginFailure)
      .set({
        lockedUntil: () =>
          `CASE WHEN :granted = 1 AND failures = ${MAX_FAILURES - 1} THEN :until ELSE locked_until END`,
        failures: () => `CASE WHEN :granted = 1 AND failures < ${MAX_FAILURES} THEN failures + 1 ELSE failures END`,
        consecutive: () => 'consecutive + :counted',
        reserved: () => 'CASE WHEN :granted = 1 AND reserved > 0 THEN reserved - 1 ELSE reserved END',
        updatedAt: now,
      })
      .where('account = :account', { account })
      .setParameters({ until, granted: Number(isGranted), counted: Number(isGranted && !isShared) })
      .execute();
    const row = await transaction.findOneByOrFail(LoginFailure, { account });
    const isLocked = isLockedAt(row, now);
    if (!isGranted && !isLocked && !hasRoom(row)) await this.lapse(row, now, transaction);
    return {
      isLock: isGranted && row.lockedUntil?.getTime() === until.getTime(),
      isLast: isGranted && row.consecutive === MAX_CONSECUTIVE_FAILURES,
      isLocked,
    };
  }

  /**
   * A granted check found the right password: the account starts again from nothing, other checks under way go on.
   *
   * @returns whether there had been failures.
   */
  async succeed(account: string, transaction: EntityManager): Promise<boolean> {
    const usual = await change(transaction, `${SUCCEED} AND consecutive = 0`, [account]);
    if (usual.affected === 1) return false;
    const { affected } = await change(transaction, SUCCEED, [account]);
    return affected === 1;
  }

  /** A check did not take place. One that was not granted changes nothing, and takes as long. */
  async giveBack(
    account: string,
    isGranted: boolean,
    transaction: EntityManager = this.dataSource.manager,
  ): Promise<void> {
    await transaction.update(LoginFailure, { account }, { reserved: () => (isGranted ? ONE_LESS : 'reserved') });
  }

  /** A recovery: as after a success, for whoever has checked nothing. */
  async clear(account: string, transaction: EntityManager): Promise<void> {
    await transaction.update(LoginFailure, { account }, NOTHING);
  }

  async delete(accounts: string[], transaction: EntityManager): Promise<void> {
    if (accounts.length > 0) await transaction.delete(LoginFailure, { account: In(accounts) });
  }

  find(account: string): Promise<LoginFailure | null> {
    return this.dataSource.manager.findOneBy(LoginFailure, { account });
  }

  /** How many rows there are of counters that begin so. */
  count(prefix: string): Promise<number> {
    return this.dataSource.manager.countBy(LoginFailure, { account: Like(`${prefix}%`) });
  }

  /** Makes those rows that are missing, with nothing counted. */
  async ensure(accounts: string[], now: Date, transaction: EntityManager = this.dataSource.manager): Promise<void> {
    for (let i = 0; i < accounts.length; i += ROWS_PER_INSERT) {
      await transaction
        .createQueryBuilder()
        .insert()
        .into(LoginFailure)
        .values(accounts.slice(i, i + ROWS_PER_INSERT).map((account) => emptyRow(account, now)))
        .orUpdate(['account'], ['account'])
        .updateEntity(false)
        .execute();
    }
  }

  /** Deletes those of these rows that nobody has touched since `before`. @returns how many. */
  async purge(accounts: string[], before: Date): Promise<number> {
    if (accounts.length === 0) return 0;
    const rows = this.dataSource.getRepository(LoginFailure);
    return deleteBatch(rows, 'account', { account: In(accounts), updatedAt: LessThan(before) }, accounts.length);
  }

  /** Deletes up to `limit` rows of devices that nobody has tried since `before`. The others stay. @returns how many. */
  purgeDevices(before: Date, limit: number): Promise<number> {
    const rows = this.dataSource.getRepository(LoginFailure);
    return deleteBatch(rows, 'account', { account: Like('device.%'), updatedAt: LessThan(before) }, limit);
  }

  /** One statement, which is a transaction of its own and changes the row either way. `LAST_INSERT_ID(…)` tells what it decided. */
  private async reserveAtOnce(account: string, now: Date): Promise<boolean> {
    const [at, until] = [instantText(now), instantText(plusSeconds(now, RESERVATION_SECONDS))];
    const { insertId } = await withoutDeadlock(() =>
      change(this.dataSource.manager, RESERVE_AT_ONCE, [account, until, at, at, at, at, until, at, at]),
    );
    return insertId === 1;
  }

  /** SQLite has nothing that would tell: whether there is room decides about a statement of its own. */
  private reserveWithin(account: string, now: Date): Promise<boolean> {
    const [at, until] = [instantText(now), instantText(plusSeconds(now, RESERVATION_SECONDS))];
    return inTransaction(this.dataSource, async (transaction) => {
      await change(transaction, TOUCH, [account, at]);
      const { affected } = await change(transaction, RESERVE, [until, account, at]);
      return affected === 1;
    });
  }

  /** Checks that must have ended by now and have not: their process died. They count as failures, one short of a lock. */
  private async lapse({ account, reservedUntil }: LoginFailure, now: Date, transaction: EntityManager): Promise<void> {
    if (reservedUntil === null || reservedUntil > now) return;
    await transaction.update(
      LoginFailure,
      { account },
      {
        failures: () =>
          `CASE WHEN failures + reserved >= ${MAX_FAILURES} THEN ${MAX_FAILURES - 1} ELSE failures + reserved END`,
        reserved: 0,
        reservedUntil: null,
      },
    );
  }
}

function isLockedAt({ lockedUntil, consecutive }: LoginFailure, now: Date): boolean {
  return (lockedUntil !== null && lockedUntil > now) || consecutive >= MAX_CONSECUTIVE_FAILURES;
}

/** As `HAS_ROOM`, of a counter that is not locked. */
function hasRoom({ failures, reserved, consecutive }: LoginFailure): boolean {
  const sinceTheLock = failures >= MAX_FAILURES ? 0 : failures;
  return sinceTheLock + reserved < MAX_FAILURES && consecutive + reserved < MAX_CONSECUTIVE_FAILURES;
}

function emptyRow(account: string, updatedAt: Date): LoginFailure {
  return { account, ...NOTHING, reserved: 0, reservedUntil: null, updatedAt };
}

const SINCE_THE_LOCK = `CASE WHEN failures >= ${MAX_FAILURES} THEN 0 ELSE failures END`;
/** Whether there may be a look now. Once `failures` and `locked_until` are set for one the answer is still the same. */
const HAS_ROOM = `((locked_until IS NULL OR locked_until <= ?)
  AND (${SINCE_THE_LOCK}) + reserved < ${MAX_FAILURES}
  AND consecutive + reserved < ${MAX_CONSECUTIVE_FAILURES})`;

const RESERVE_AT_ONCE = `
  INSERT INTO login_failures (account, failures, reserved, reserved_until, consecutive, locked_until, updated_at)
  VALUES (?, 0, LAST_INSERT_ID(1), ?, 0, NULL, ?)
  ON DUPLICATE KEY UPDATE
    failures = CASE WHEN ${HAS_ROOM} THEN ${SINCE_THE_LOCK} ELSE failures END,
    locked_until = CASE WHEN ${HAS_ROOM} THEN NULL ELSE locked_until END,
    reserved_until = CASE WHEN ${HAS_ROOM} THEN ? ELSE reserved_until END,
    reserved = reserved + LAST_INSERT_ID(CASE WHEN ${HAS_ROOM} THEN 1 ELSE 0 END),
    updated_at = ?`;

const TOUCH = `
  INSERT INTO login_failures (account, failures, reserved, reserved_until, consecutive, locked_until, updated_at)
  VALUES (?, 0, 0, NULL, 0, NULL, ?)
  ON CONFLICT (account) DO UPDATE SET updated_at = excluded.updated_at`;
const RESERVE = `
  UPDATE login_failures
  SET failures = ${SINCE_THE_LOCK}, locked_until = NULL, reserved = reserved + 1, reserved_until = ?
  WHERE account = ? AND ${HAS_ROOM}`;

const ROWS_PER_INSERT = 1_024;
const NOTHING = { failures: 0, consecutive: 0, lockedUntil: null };
const ONE_LESS = 'CASE WHEN reserved > 0 THEN reserved - 1 ELSE 0 END';
const SUCCEED = `
  UPDATE login_failures SET failures = 0, consecutive = 0, locked_until = NULL, reserved = ${ONE_LESS}
  WHERE account = ?`;
