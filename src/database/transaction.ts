import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import { isDeadlock } from './errors.js';

const ATTEMPTS = 8;
const MAX_PAUSE_MS = 20;

/** What is to be done once the transaction has been committed. */
const inside = new AsyncLocalStorage<(() => void)[]>();

/** Whether the caller runs inside the `work` of `inTransaction`. */
export function isInTransaction(): boolean {
  return inside.getStore() !== undefined;
}

/** Does what tells the world of a change: when the transaction that the caller runs in is committed, else at once. */
export function afterCommit(tell: () => void): void {
  const store = inside.getStore();
  if (store) store.push(tell);
  else tell();
}

/** Runs `work` in one transaction, again from the start when the database chose it as a deadlock's victim. */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (transaction: EntityManager) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const committed: (() => void)[] = [];
    try {
      const result = await dataSource.transaction((transaction) => inside.run(committed, () => work(transaction)));
      for (const tell of committed) tell();
      return result;
    } catch (error) {
      if (attempt >= ATTEMPTS || !isDeadlock(error)) throw error;
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
  }
}
