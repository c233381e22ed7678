import type { EventEmitter } from 'node:events';
import type { DataSource, QueryRunner } from 'typeorm';
import { isSqlite } from './data-source.js';

/** Well before the server would close it. */
const IDLE_MS = 2_000;
/** A pool of fewer has none to spare. */
const MIN_POOL_SIZE = 4;

/**
 * A connection of the pool that one user keeps while it is in use, for queries that must not queue behind those of others: a
 * burst of logins takes every other connection. Where there is none to spare (SQLite has one, and a small pool hardly more),
 * and while a query before has not ended, a query takes its turn like everybody's.
 */
export class ReservedConnection {
  private reserved: Promise<QueryRunner> | undefined;
  private isBusy = false;
  private idleTimer: NodeJS.Timeout | undefined;

  /** @param idleMs after how long without a query the pool has it back, in milliseconds. */
  constructor(
    private readonly dataSource: DataSource,
    private readonly idleMs = IDLE_MS,
  ) {}

  /** What `DataSource.query` answers and throws. */
  async query<T>(statement: string, parameters: unknown[]): Promise<T> {
    const canReserve = !isSqlite(this.dataSource) && (this.dataSource.options.poolSize ?? 0) >= MIN_POOL_SIZE;
    if (!canReserve || this.isBusy) return this.dataSource.query<T>(statement, parameters);
    const mine = (this.reserved ??= this.reserve());
    this.isBusy = true;
    try {
      const runner = await mine;
      this.idleTimer?.refresh();
      return (await runner.query(statement, parameters)) as T;
    } catch (error) {
      this.giveBack(mine); // in what state the statement or its time-out has left it is not known
      throw error;
    } finally {
      this.isBusy = false;
    }
  }

  /** Before the pool is closed: that waits for every connection. */
  release(): void {
    if (this.reserved) this.giveBack(this.reserved);
  }

  private async reserve(): Promise<QueryRunner> {
    const runner = this.dataSource.createQueryRunner();
    const connection = (await runner.connect()) as EventEmitter;
    const mine = this.reserved as Promise<QueryRunner>;
    connection.once('end', () => this.giveBack(mine));
    const idleTimer = setTimeout(() => (this.isBusy ? idleTimer.refresh() : this.giveBack(mine)), this.idleMs).unref();
    this.idleTimer = idleTimer;
    return runner;
  }

  private giveBack(mine: Promise<QueryRunner>): void {
    if (this.reserved !== mine) return;
    this.reserved = undefined;
    clearTimeout(this.idleTimer);
    mine.then(
      (runner) => runner.release(),
      () => undefined, // there was none to be had
    );
  }
}
