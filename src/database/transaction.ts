import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import { isDeadlock } from './errors.js';

const ATTEMPTS = 8;
const MAX_PAUSE_MS = 20;

/** What is to be done once a transaction has been committed, by its manager. */
const afterwards = new WeakMap<EntityManager, (() => void)[]>();

/**
 * Set within a transaction on SQLite, where a statement beside it would wait for itself for ever. Not on the others: to
 * follow the caller from promise to promise costs every request of the process.
 */
const inside = new AsyncLocalStorage<true>();

/** Whether the caller runs inside the `work` of `inTransaction`, on SQLite. */
export function isInTransaction(): boolean {
  return inside.getStore() === true;
}

/** Does what tells the world of a change when its transaction is committed. */
export function afterCommit(transaction: EntityManager, tell: () => void): void {
  const tells = afterwards.get(transaction);
  if (!tells) throw new Error('afterCommit outside of inTransaction');
  tells.push(tell);
}

/** Runs `work` in one transaction, again from the start when the database chose it as a deadlock's victim. */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (transaction: EntityManager) => Promise<T>,
): Promise<T> {
  return withoutDeadlock(async () => {
    const tells: (() => void)[] = [];
    const run = (transaction: EntityManager) => {
      afterwards.set(transaction, tells);
      return dataSource.options.type === 'better-sqlite3'
        ? inside.run(true, () => work(transaction))
        : work(transaction);
    };
    const result = await dataSource.transaction(run);
    for (const tell of tells) tell();
    return result;
  });
}

/** Does `work`, a transaction or one statement by itself, again when the database chose it as a deadlock's victim. */
export async function withoutDeadlock<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= ATTEMPTS || !isDeadlock(error)) throw error;
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
  }
}
