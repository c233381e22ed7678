import { MigrationExecutor, type DataSource, type QueryRunner } from 'typeorm';
import { isSqlite } from './data-source.js';
import { migrations } from './migrations.js';

// A lock of GET_LOCK is the server's, so the database is part of its name (64 characters at most).
const LOCK_NAME = "CONCAT('gatehouse_migrate ', LEFT(DATABASE(), 40))";
const LOCK_WAIT_SECONDS = 60;

/**
 * Applies what is pending, in order, and returns the names of what it applied. Of several that run at once one works
 * and the others wait: `GET_LOCK` on MySQL (released by the server when its holder dies), the write lock on SQLite.
 */
export async function migrate(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner();
  try {
    return await withLock(runner, isSqlite(dataSource), async () => {
      const executor = new MigrationExecutor(dataSource, runner);
      executor.transaction = 'none'; // MySQL commits DDL at once; on SQLite the lock is the transaction
      return (await executor.executePendingMigrations()).map(({ name }) => name);
    });
  } finally {
    await runner.release();
  }
}

/**
 * The names of migrations that this build knows and the database does not have; all of them for an empty database.
 *
 * @throws the driver's error when the database does not answer.
 */
export async function pendingMigrations(dataSource: DataSource): Promise<string[]> {
  let applied: { name: string }[] = [];
  try {
    applied = await dataSource.query<{ name: string }[]>('SELECT name FROM migrations');
  } catch (error) {
    if (!isMissingTable(error)) throw error;
  }
  const names = new Set(applied.map(({ name }) => name));
  return migrations.map(({ name }) => name).filter((name) => !names.has(name));
}

/** Whether a query failed because the schema is not there (yet). */
export function isMissingTable(error: unknown): boolean {
  const { errno, message } = error as { errno?: number; message?: string };
  return errno === 1146 || /no such table/.test(message ?? '');
}

async function withLock<T>(runner: QueryRunner, sqlite: boolean, work: () => Promise<T>): Promise<T> {
  if (sqlite) {
    await runner.query('BEGIN IMMEDIATE');
    try {
      const result = await work();
      await runner.query('COMMIT');
      return result;
    } catch (error) {
      await runner.query('ROLLBACK');
      throw error;
    }
  }
  const rows = (await runner.query(`SELECT GET_LOCK(${LOCK_NAME}, ?) AS locked`, [LOCK_WAIT_SECONDS])) as {
    locked: unknown;
  }[];
  if (Number(rows[0]?.locked) !== 1) throw new Error(`another migration has held the lock for ${LOCK_WAIT_SECONDS} s`);
  try {
    return await work();
  } finally {
    await runner.query(`SELECT RELEASE_LOCK(${LOCK_NAME})`);
  }
}
