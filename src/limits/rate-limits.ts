import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import {
  RateLimiterMySQL,
  RateLimiterRes,
  RateLimiterSQLite,
  type RateLimiterStoreAbstract,
} from 'rate-limiter-flexible';
import { And, LessThan, MoreThan, MoreThanOrEqual, type DataSource } from 'typeorm';
import { Unavailable } from '../common/domain-error.js';
import { withinTime } from '../common/within-time.js';
import { budgetOf, Config } from '../config/config.js';
import { isSqlite } from '../database/data-source.js';
import { deleteBatch } from '../database/delete-batch.js';
import { isDeadlock } from '../database/errors.js';
import { inTransaction } from '../database/transaction.js';
import { RateLimit } from './rate-limit.entity.js';

/** Each budget with the field of the configuration that says how large it is. */
const BUDGETS = {
  login: 'rateLimitLogin',
  login_pair: 'rateLimitLoginPair',
  login_accounts: 'alertAccountsPerAddress',
  signup: 'rateLimitSignup',
  forgot: 'rateLimitForgot',
  resend: 'rateLimitResend',
  refresh: 'rateLimitRefresh',
  client_auth: 'rateLimitClientAuth',
  introspection: 'rateLimitIntrospection',
} as const satisfies Record<string, keyof Config>;

export type Budget = keyof typeof BUDGETS;

/**
 * Budgets that refuse no request: beyond them there is no flood to keep from the database. One is a count that operators
 * look at, and the other is forgiven on every instance at once.
 */
const NEVER_FROM_MEMORY: Budget[] = ['login_pair', 'login_accounts'];

/** What came of a use. */
export interface Use {
  isAllowed: boolean;
  /** The first of its window that was refused: to be told of once. */
  isFirstRefused: boolean;
  /** The first of its window. */
  isFirst: boolean;
  /** Uses in a window, and the window's seconds. */
  points: number;
  windowSeconds: number;
  /** Uses left in this window, and seconds until the next. */
  remaining: number;
  resetSeconds: number;
}

/** What the library has and does not declare. */
type MemoryOf = RateLimiterStoreAbstract & { getInMemoryBlockMsBeforeExpire(key: string): number };

const ATTEMPTS = 5;
/** The library sets no limit of its own. */
const TIMEOUT_MS = 5_000;
const RETRY_AFTER_SECONDS = 2;

/**
 * Budgets in the database, shared by all instances: so many uses in a window that begins with the first. The counting is
 * rate-limiter-flexible's, one atomic upsert; a key that is far beyond its budget is refused without asking the database
 * until its window ends.
 */
@Injectable()
export class RateLimits {
  private readonly limiters: Record<Budget, RateLimiterStoreAbstract>;
  private readonly usesSqlite: boolean;
  private readonly logger = new Logger(RateLimits.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
  ) {
    this.usesSqlite = isSqlite(dataSource);
    const names = Object.keys(BUDGETS) as Budget[];
    const limiters = names.map((name) => [name, this.limiterOf(name, budgetOf(config[BUDGETS[name]]))] as const);
    this.limiters = Object.fromEntries(limiters) as Record<Budget, RateLimiterStoreAbstract>;
  }

  /** How many points are a part of a budget, at least one. */
  blockOf(budget: Budget, parts: number): number {
    return Math.max(1, Math.floor(this.limiters[budget].points / parts));
  }

  /** Uses points of a budget. @param whose at most 150 characters. */
  async use(budget: Budget, whose: string, points = 1): Promise<Use> {
    const limiter = this.limiters[budget];
    const { isAllowed, result } = await this.settled(async () => {
      try {
        return { isAllowed: true, result: await limiter.consume(whose, points) };
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        return { isAllowed: false, result: refusal };
      }
    });
    const before = result.consumedPoints - points;
    return {
      isAllowed,
      isFirst: result.consumedPoints === points,
      // The library's refusals from memory have consumed nothing.
      isFirstRefused: !isAllowed && result.consumedPoints > limiter.points && before <= limiter.points,
      points: limiter.points,
      windowSeconds: limiter.duration,
      remaining: isAllowed ? result.remainingPoints : 0,
      resetSeconds: Math.max(1, Math.ceil(result.msBeforeNext / 1000)),
    };
  }

  /** Whether a key is so far beyond a budget that it is refused without asking the database. Uses nothing. */
  isRefusedFromMemory(budget: Budget, whose: string): boolean {
    const limiter = this.limiters[budget] as MemoryOf;
    return limiter.getInMemoryBlockMsBeforeExpire(limiter.getKey(whose)) > 0;
  }

  /** Whether nothing is left of a budget. Uses nothing. */
  async isSpent(budget: Budget, whose: string): Promise<boolean> {
    const limiter = this.limiters[budget];
    const result = await this.settled(() => limiter.get(whose));
    return result !== null && result.consumedPoints >= limiter.points;
  }

  /**
   * Gives one point back: what it was used for turned out to be harmless. Nothing when its window has ended: the library's
   * `reward` would begin the next one below zero. Where it fails the point stays used, which is no harm.
   */
  async giveBack(budget: Budget, whose: string): Promise<void> {
    if (this.config.rateLimits === 'off') return;
    const used = { key: `${budget}:${whose}`, expire: MoreThan(Date.now()), points: MoreThan(0) };
    try {
      await inTransaction(this.dataSource, (transaction) =>
        transaction.update(RateLimit, used, { points: () => 'points - 1' }),
      );
    } catch (error) {
      this.logger.warn({ event: 'budget_not_given_back', reason: budget, err: error });
    }
  }

  /** The largest number of points that one key has used of a budget in a window that is still open; 0 when there is none. */
  async highest(budget: Budget): Promise<number> {
    const row = await this.dataSource
      .getRepository(RateLimit)
      .createQueryBuilder('row')
      .select('MAX(row.points)', 'points')
      .where('row.key >= :from AND row.key < :to', { from: `${budget}:`, to: `${budget};` })
      .andWhere('row.expire > :now', { now: Date.now() })
      .getRawOne<{ points: number | null }>();
    return Number(row?.points ?? 0);
  }

  /**
   * Forgets what was used of a budget by every key that begins like this. Called when what it follows from is done: where it
   * fails, that stays done, and the budget is spent until its window ends.
   *
   * @param prefix ends with `|`.
   */
  async clear(budget: Budget, prefix: string): Promise<void> {
    const from = `${budget}:${prefix}`;
    const to = `${from.slice(0, -1)}}`; // the character behind `|`
    try {
      await this.dataSource.getRepository(RateLimit).delete({ key: And(MoreThanOrEqual(from), LessThan(to)) });
    } catch (error) {
      this.logger.warn({ event: 'budget_not_cleared', reason: budget, err: error });
    }
  }

  /** Deletes up to `limit` rows whose window has ended. @returns how many. */
  purge(limit: number): Promise<number> {
    return deleteBatch(this.dataSource.getRepository(RateLimit), 'key', { expire: LessThan(Date.now()) }, limit);
  }

  private limiterOf(budget: Budget, { points, seconds }: { points: number; seconds: number }) {
    const settings = {
      keyPrefix: budget,
      points,
      duration: seconds,
      // Twice, not once: uses that are given back must be able to bring a key below its budget again.
      inMemoryBlockOnConsumed: NEVER_FROM_MEMORY.includes(budget) ? 0 : 2 * points,
      tableName: 'rate_limits',
      tableCreated: true,
      clearExpiredByTimeout: false, // ours goes in batches
    };
    if (this.usesSqlite) {
      const { databaseConnection } = this.dataSource.driver as unknown as { databaseConnection: unknown };
      return new RateLimiterSQLite({ ...settings, storeClient: databaseConnection, storeType: 'better-sqlite3' });
    }
    const { pool, database } = this.dataSource.driver as unknown as { pool: unknown; database: string };
    return new RateLimiterMySQL({ ...settings, storeClient: pool, storeType: 'pool', dbName: database });
  }

  /**
   * On SQLite the library works on the one connection that everybody shares, so it has to wait for its turn: what it does
   * becomes a savepoint of a transaction of ours.
   *
   * @throws Unavailable when the database does not answer: a budget that cannot be looked up is not taken for granted.
   */
  private async settled<T>(work: () => Promise<T>): Promise<T> {
    if (this.usesSqlite) return inTransaction(this.dataSource, work);
    for (let attempt = 1; ; attempt++) {
      try {
        return await withinTime(work(), TIMEOUT_MS);
      } catch (error) {
        if (attempt < ATTEMPTS && isDeadlock(error)) continue;
        throw new Unavailable('rate_limits', RETRY_AFTER_SECONDS, error);
      }
    }
  }
}
