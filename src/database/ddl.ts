import type { QueryRunner } from 'typeorm';

/**
 * What the databases spell differently. Everything else in a migration is SQL that MySQL, MariaDB and SQLite share.
 * MySQL commits each DDL statement by itself, so every statement must be safe to run again after a kill half way.
 */
export interface Dialect {
  /** Primary key that counts up by itself and never gives a number twice. */
  autoIncrementKey: string;
  /**
   * Behind the closing parenthesis of CREATE TABLE: InnoDB, and a collation that compares bytes. The `_ci` collations
   * hold é and e, and in the older ones 🍣 and 🍺, to be equal; `utf8mb4_bin` ignores trailing spaces.
   */
  tableOptions: string;
}

/** The dialect of a connection. MySQL is the default: `schema.sql` is generated without one. */
export async function dialectOf(runner: QueryRunner): Promise<Dialect> {
  if (runner.dataSource.options.type === 'better-sqlite3') {
    return { autoIncrementKey: 'INTEGER PRIMARY KEY AUTOINCREMENT', tableOptions: '' };
  }
  const rows = (await runner.query('SELECT VERSION() AS version')) as { version: string }[] | undefined;
  const collation = /mariadb/i.test(rows?.[0]?.version ?? '') ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
  return {
    autoIncrementKey: 'BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY',
    tableOptions: ` ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=${collation}`,
  };
}

const ER_DUP_FIELDNAME = 1060;
const ER_DUP_KEYNAME = 1061;

/** ALTER TABLE … ADD COLUMN that is safe to run again. MySQL and SQLite have no IF NOT EXISTS for columns. */
export async function addColumn(runner: QueryRunner, table: string, column: string): Promise<void> {
  try {
    await runner.query(`ALTER TABLE ${table} ADD COLUMN ${column}`);
  } catch (error) {
    const { errno, message } = error as { errno?: number; message: string };
    if (errno !== ER_DUP_FIELDNAME && !/duplicate column name/.test(message)) throw error;
  }
}

/** CREATE INDEX that is safe to run again. MySQL has no IF NOT EXISTS for indexes. */
export async function createIndex(runner: QueryRunner, name: string, on: string): Promise<void> {
  try {
    await runner.query(`CREATE INDEX ${name} ON ${on}`);
  } catch (error) {
    const { errno, message } = error as { errno?: number; message: string };
    if (errno !== ER_DUP_KEYNAME && !/index \S+ already exists/.test(message)) throw error;
  }
}

/** DROP INDEX, whose form is not the same on SQLite. */
export async function dropIndex(runner: QueryRunner, name: string, table: string): Promise<void> {
  const { type } = runner.dataSource.options;
  await runner.query(type === 'better-sqlite3' ? `DROP INDEX ${name}` : `DROP INDEX ${name} ON ${table}`);
}
