import mysql from 'mysql2/promise';
import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';

/** Where a project's database comes from. `server` is started by the suite itself and removed afterwards. */
export type DatabaseSource = { kind: 'sqlite' } | { kind: 'url'; url: string } | { kind: 'server'; binary: string };

export interface TestDatabase {
  name: string;
  source: DatabaseSource;
}

/** The databases this run can use, and those of the supported ones that it cannot, each with the reason. */
export async function findDatabases(env = process.env): Promise<{ databases: TestDatabase[]; missing: string[] }> {
  const databases: TestDatabase[] = [];
  const missing: string[] = [];
  if (await canLoadSqlite()) databases.push({ name: 'sqlite', source: { kind: 'sqlite' } });
  else missing.push('SQLite: better-sqlite3 is not installed');

  // One address, or several separated by commas.
  for (const url of (env['TEST_DATABASE_URL'] ?? '').split(',').filter(Boolean)) {
    databases.push({ name: await productOf(url), source: { kind: 'url', url } });
  }
  for (const product of ['mysql', 'mariadb'] as const) {
    if (databases.some(({ name }) => name.startsWith(product))) continue;
    const binary = findServer(product, env);
    if (binary) databases.push({ name: product, source: { kind: 'server', binary } });
    else missing.push(`${product}: TEST_DATABASE_URL names none, and the PATH has no server of it`);
  }
  return { databases, missing };
}

async function productOf(url: string): Promise<string> {
  const connection = await mysql.createConnection(url);
  const [rows] = await connection.query('SELECT VERSION() AS version');
  await connection.end();
  const { version } = (rows as { version: string }[])[0] as { version: string };
  const [number] = version.split('-');
  return /mariadb/i.test(version) ? `mariadb ${number}` : `mysql ${number}`;
}

/** Debian's MariaDB calls itself mysqld too, so the program is asked what it is. */
function findServer(product: 'mysql' | 'mariadb', env: NodeJS.ProcessEnv): string | undefined {
  const folders = [...(env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  return folders
    .map((folder) => join(folder, product === 'mysql' ? 'mysqld' : 'mariadbd'))
    .find((path) => {
      const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
      return status === 0 && /mariadb/i.test(stdout) === (product === 'mariadb');
    });
}

/** Kept, because it must not be garbage-collected on Node 24; data-source.ts says why. */
let probed: { close(): void };

async function canLoadSqlite(): Promise<boolean> {
  try {
    const optionalPackage = 'better-sqlite3'; // has no types, and may not be there
    const { default: Database } = await import(optionalPackage);
    probed = new Database(':memory:') as { close(): void };
    probed.close();
    return true;
  } catch {
    return false;
  }
}
