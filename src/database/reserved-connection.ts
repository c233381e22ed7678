import type { EventEmitter } from 'node:events';
import type { DataSource, QueryRunner } from 'typeorm';
import { isSqlite } from './data-source.js';

/** Well before the server would close it. */
const IDLE_MS = 2_000;
/** A pool of fewer has none to spare. */
const MIN_POOL_SIZE = 4;

/** A connection that is held. */
interface Held {
  runner: QueryRunner;
  connection: EventEmitter;
  idleTimer: NodeJS.Timeout;
  /** Takes it for gone, when it has ended or failed. */
  drop: () => void;
}

/**
 * A connection of the pool that one user keeps while it is in use, for queries that must not queue behind those of others: a
 * burst of logins takes every other connection. Where there is none to spare (SQLite has one, and a small pool hardly more),
 * and while a query before has not ended, a query takes its turn like everybody's.
 */
export class ReservedConnection {
  private held: Held | undefined;
  private isBusy = false;
  private isReleased = false;

  /** @param idleMs after how long without a query the pool has it back, in milliseconds. */
  constructor(
    private readonly dataSource: DataSource,
    private readonly idleMs = IDLE_MS,
  ) {}

  /** What `DataSource.query` answers and throws. */
  async query<T>(statement: string, parameters: unknown[]): Promise<T> {
    const canReserve = !isSqlite(this.dataSource) && (this.dataSource.options.poolSize ?? 0) >= MIN_POOL_SIZE;
    if (!canReserve || this.isBusy || this.isReleased) return this.dataSource.query<T>(statement, parameters);
    this.isBusy = true;
    try {
      const { runner, idleTimer } = (this.held ??= await this.reserve());
      idleTimer.refresh();
      return (await runner.query(statement, parameters)) as T;
    } catch (error) {
      this.giveBack(); // in what state the statement or its time-out has left it is not known
      throw error;
    } finally {
      this.isBusy = false;
      if (this.isReleased) this.giveBack();
    }
  }

  /** For good, before the pool is closed: that waits for every connection. A query under way ends first. */
  release(): void {
    this.isReleased = true;
    if (!this.isBusy) this.giveBack();
  }

  private async reserve(): Promise<Held> {
    const runner = this.dataSource.createQueryRunner();
    const connection = (await runner.connect()) as EventEmitter;
    const drop = () => this.giveBack();
    connection.once('end', drop).once('error', drop);
    const idleTimer = setTimeout(() => (this.isBusy ? idleTimer.refresh() : this.giveBack()), this.idleMs).unref();
    return { runner, connection, idleTimer, drop };
  }

  private giveBack(): void {
    if (!this.held) return;
    const { runner, connection, idleTimer, drop } = this.held;
    this.held = undefined;
    clearTimeout(idleTimer);
    connection.off('end', drop).off('error', drop);
    void runner.release();
  }
}
