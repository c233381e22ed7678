import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';

const ATTEMPTS = 8;
const MAX_PAUSE_MS = 20;
/** MySQL's error for the victim of a deadlock. A row that stays locked (1205) is not tried again: that took its time already. */
const ER_LOCK_DEADLOCK = 1213;

const inside = new AsyncLocalStorage<true>();

/** Whether the caller runs inside the `work` of `inTransaction`. */
export function isInTransaction(): boolean {
  return inside.getStore() === true;
}

/** Runs `work` in one transaction, again from the start when the database chose it as a deadlock's victim. */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (transaction: EntityManager) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await dataSource.transaction((transaction) => inside.run(true, () => work(transaction)));
    } catch (error) {
      if (attempt >= ATTEMPTS || (error as { errno?: number }).errno !== ER_LOCK_DEADLOCK) throw error;
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
  }
}
