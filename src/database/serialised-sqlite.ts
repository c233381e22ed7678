import type { DataSource, QueryRunner } from 'typeorm';
import { isInTransaction } from './transaction.js';

/**
 * SQLite under TypeORM is one connection shared by everybody: two interleaved transactions corrupt each other, and an
 * autocommit write can land in someone else's rollback. This gives every caller a query runner of its own and a turn:
 * a transaction keeps the turn from BEGIN to COMMIT, a lone statement takes it for itself. What runs inside a
 * transaction must go through that transaction's manager, as on MySQL; a statement beside it waits for its turn.
 */
export function serialiseSqlite(dataSource: DataSource): DataSource {
  const driver = dataSource.driver as DataSource['driver'] & { queryRunner?: QueryRunner };
  const createShared = driver.createQueryRunner.bind(driver);
  const takeTurn = turns();

  driver.createQueryRunner = (mode) => {
    driver.queryRunner = undefined; // else the driver hands out the one it made before
    const runner = createShared(mode);
    driver.queryRunner = undefined;
    let endTurn: (() => void) | undefined;

    const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
    runner.query = (async (...args: unknown[]) => {
      if (endTurn) return query(...args);
      // It would wait for the end of the transaction that waits for it; on MySQL it would only be out of the transaction.
      if (isInTransaction()) throw new Error('a statement beside the transaction that it belongs to');
      const end = await takeTurn();
      try {
        return await query(...args);
      } finally {
        end();
      }
    }) as QueryRunner['query'];

    // TypeORM's own idea of "active" survives a BEGIN or ROLLBACK that failed, and a turn that never ends stops everybody.
    let depth = 0;
    const release = () => {
      if (depth > 0) return; // an inner savepoint has ended, not the transaction
      endTurn?.();
      endTurn = undefined;
    };
    const start = runner.startTransaction.bind(runner);
    runner.startTransaction = async (isolation) => {
      endTurn ??= await takeTurn();
      try {
        await start(isolation);
        depth += 1;
      } finally {
        release();
      }
    };
    const commit = runner.commitTransaction.bind(runner);
    runner.commitTransaction = async () => {
      await commit(); // a failure is followed by a rollback, which ends the turn
      depth -= 1;
      release();
    };
    const rollback = runner.rollbackTransaction.bind(runner);
    runner.rollbackTransaction = async () => {
      try {
        await rollback();
      } finally {
        depth = Math.max(0, depth - 1);
        release();
      }
    };
    return runner;
  };
  return dataSource;
}

/** A queue of one: each call resolves to a function that ends the turn, in the order of the calls. */
function turns(): () => Promise<() => void> {
  let last: Promise<void> = Promise.resolve();
  return async () => {
    const before = last;
    let end!: () => void;
    last = new Promise((resolve) => (end = resolve));
    await before;
    return end;
  };
}
