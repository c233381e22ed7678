import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, LessThan, type DataSource, type EntityManager } from 'typeorm';
import { inTransaction } from '../database/transaction.js';
import { LoginFailure } from './login-failure.entity.js';

/** The tenth wrong password locks (PCI DSS 8.3.4: at most 10). */
export const MAX_FAILURES = 10;
/** After so many without a success or a recovery no password opens the account (63B-4, section 3.2.2: at most 100). */
export const MAX_CONSECUTIVE_FAILURES = 100;

/** What became of a reservation. `isLast`: it was the tenth; unless the password is right, the account is locked now. */
export interface Reservation {
  isGranted: boolean;
  isLast: boolean;
}

@Injectable()
export class LoginFailureRepository {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /**
   * Counts a failure before the password is looked at, so that guesses in parallel are counted like others. A refused one
   * changes nothing but the time of the last try, and takes as long.
   *
   * @param until when a lock that begins now ends.
   */
  reserve(account: string, now: Date, until: Date): Promise<Reservation> {
    return inTransaction(this.dataSource, async (transaction) => {
      await this.touch(account, now, transaction);
      // Each assignment reads only itself and what is assigned after it: MySQL takes them from left to right.
      const { affected } = await transaction
        .createQueryBuilder()
        .update(LoginFailure)
        .set({
          lockedUntil: () => `CASE WHEN failures = ${MAX_FAILURES - 1} THEN :until ELSE NULL END`,
          failures: () => `CASE WHEN failures >= ${MAX_FAILURES} THEN 1 ELSE failures + 1 END`,
          consecutive: () => 'consecutive + 1',
        })
        .where('account = :account AND consecutive < :max', { account, max: MAX_CONSECUTIVE_FAILURES })
        .andWhere('(locked_until IS NULL OR locked_until <= :now)', { now })
        .setParameter('until', until)
        .execute();
      const row = await transaction.findOneByOrFail(LoginFailure, { account });
      return { isGranted: affected === 1, isLast: affected === 1 && row.failures === MAX_FAILURES };
    });
  }

  /** The right password, or a recovery: the account starts again from nothing. */
  async clear(account: string, transaction: EntityManager): Promise<void> {
    await transaction.update(LoginFailure, { account }, { failures: 0, consecutive: 0, lockedUntil: null });
  }

  async delete(account: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(LoginFailure, { account });
  }

  /** When the present lock ends; null when there is none. */
  async find(account: string): Promise<LoginFailure | null> {
    return this.dataSource.manager.findOneBy(LoginFailure, { account });
  }

  /** Deletes up to `limit` rows that nobody has tried since `before`. @returns how many. */
  async purge(before: Date, limit: number): Promise<number> {
    const where = { updatedAt: LessThan(before) };
    const idle = await this.dataSource.manager.find(LoginFailure, { select: { account: true }, where, take: limit });
    if (idle.length === 0) return 0;
    const accounts = idle.map(({ account }) => account);
    const { affected } = await this.dataSource.manager.delete(LoginFailure, { account: In(accounts), ...where });
    return affected ?? idle.length;
  }

  private async touch(account: string, now: Date, transaction: EntityManager): Promise<void> {
    await transaction
      .createQueryBuilder()
      .insert()
      .into(LoginFailure)
      .values({ account, failures: 0, consecutive: 0, lockedUntil: null, updatedAt: now })
      .orUpdate(['updated_at'], ['account'])
      .updateEntity(false)
      .execute();
  }
}
