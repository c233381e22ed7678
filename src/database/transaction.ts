import type { DataSource, EntityManager } from 'typeorm';

const ATTEMPTS = 3;
/** MySQL: deadlock found, lock wait timeout. TypeORM rolls back behind both. */
const TRY_AGAIN = new Set([1213, 1205]);

/** Runs `work` in one transaction, again from the start when the database chose it as a deadlock's victim. */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (transaction: EntityManager) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await dataSource.transaction(work);
    } catch (error) {
      if (attempt >= ATTEMPTS || !TRY_AGAIN.has((error as { errno?: number }).errno ?? 0)) throw error;
    }
  }
}
