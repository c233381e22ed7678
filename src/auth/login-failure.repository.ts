import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, LessThan, Like, type DataSource, type EntityManager } from 'typeorm';
import { deleteBatch } from '../database/delete-batch.js';
import { plusSeconds } from '../common/clock.js';
import { inTransaction } from '../database/transaction.js';
import { LoginFailure } from './login-failure.entity.js';

/** The tenth wrong password locks (PCI DSS 8.3.4: at most 10). */
export const MAX_FAILURES = 10;
/** After so many without a success or a recovery no password opens the account (63B-4, section 3.2.2: at most 100). */
export const MAX_CONSECUTIVE_FAILURES = 100;
/** Longer than a full hash queue takes. */
const RESERVATION_SECONDS = 30;

/** What a failure has led to. */
export interface Settlement {
  /** It locks from now on. */
  isLock: boolean;
  /** It was the last one: no password opens the account any more. */
  isLast: boolean;
}

/** `wait`: as many checks as there are failures left are under way, and what they find decides. */
export type Reservation = 'granted' | 'locked' | 'wait';

/** Each statement reads what it decides on; of the columns it sets, only those that it sets later: MySQL goes from left to right. */
@Injectable()
export class LoginFailureRepository {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /**
   * Asks for one check of a password. Failures and checks under way together are never more than ten. What is refused
   * changes nothing but the time of the last try, and takes as long as what is granted.
   */
  reserve(account: string, now: Date): Promise<Reservation> {
    return inTransaction(this.dataSource, async (transaction) => {
      await this.touch(account, now, transaction);
      const { affected } = await transaction
        .createQueryBuilder()
        .update(LoginFailure)
        .set({
          failures: () => `CASE WHEN failures >= ${MAX_FAILURES} THEN 0 ELSE failures END`,
          lockedUntil: null,
          reserved: () => 'reserved + 1',
          reservedUntil: plusSeconds(now, RESERVATION_SECONDS),
        })
        .where('account = :account AND (locked_until IS NULL OR locked_until <= :now)', { account, now })
        .andWhere(`(CASE WHEN failures >= ${MAX_FAILURES} THEN 0 ELSE failures END) + reserved < ${MAX_FAILURES}`)
        .andWhere(`consecutive + reserved < ${MAX_CONSECUTIVE_FAILURES}`)
        .execute();
      const row = await transaction.findOneByOrFail(LoginFailure, { account });
      if (affected === 1) return 'granted';
      const isLocked = row.lockedUntil !== null && row.lockedUntil > now;
      if (isLocked || row.consecutive >= MAX_CONSECUTIVE_FAILURES) return 'locked';
      await this.lapse(row, now, transaction);
      return 'wait';
    });
  }

  /**
   * A check found the wrong password. One that was not granted changes nothing but the time of the last try, and takes as
   * long.
   *
   * @param until when the lock ends if this is the failure that locks.
   */
  async fail(
    account: string,
    isGranted: boolean,
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
        consecutive: () => 'consecutive + :granted',
        reserved: () => 'CASE WHEN :granted = 1 AND reserved > 0 THEN reserved - 1 ELSE reserved END',
        updatedAt: now,
      })
      .where('account = :account', { account })
      .setParameters({ until, granted: Number(isGranted) })
      .execute();
    const row = await transaction.findOneByOrFail(LoginFailure, { account });
    return {
      isLock: isGranted && row.lockedUntil?.getTime() === until.getTime(),
      isLast: isGranted && row.consecutive === MAX_CONSECUTIVE_FAILURES,
    };
  }

  /**
   * A granted check found the right password: the account starts again from nothing, other checks under way go on.
   *
   * @returns whether there had been failures.
   */
  async succeed(account: string, transaction: EntityManager): Promise<boolean> {
    const row = await transaction.findOneBy(LoginFailure, { account });
    await transaction.update(LoginFailure, { account }, { ...NOTHING, reserved: () => ONE_LESS });
    return row !== null && row.consecutive > 0;
  }

  /** A granted check did not take place. */
  async giveBack(account: string): Promise<void> {
    await this.dataSource.manager.update(LoginFailure, { account }, { reserved: () => ONE_LESS });
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

  /** Deletes up to `limit` rows of devices that nobody has tried since `before`. The others stay. @returns how many. */
  purgeDevices(before: Date, limit: number): Promise<number> {
    const rows = this.dataSource.getRepository(LoginFailure);
    return deleteBatch(rows, 'account', { account: Like('device.%'), updatedAt: LessThan(before) }, limit);
  }

  private async touch(account: string, now: Date, transaction: EntityManager): Promise<void> {
    await transaction
      .createQueryBuilder()
      .insert()
      .into(LoginFailure)
      .values(emptyRow(account, now))
      .orUpdate(['updated_at'], ['account'])
      .updateEntity(false)
      .execute();
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

function emptyRow(account: string, updatedAt: Date): LoginFailure {
  return { account, ...NOTHING, reserved: 0, reservedUntil: null, updatedAt };
}

const ROWS_PER_INSERT = 1_024;
const NOTHING = { failures: 0, consecutive: 0, lockedUntil: null };
const ONE_LESS = 'CASE WHEN reserved > 0 THEN reserved - 1 ELSE 0 END';
