// A database for each scenario, so that none of them measures what another one has left.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDataSource } from '../../dist/src/database/data-source.js';
import { loadConfig } from '../../dist/src/config/load-config.js';
import { migrate } from '../../dist/src/database/migrator.js';

const given = process.env.DATABASE_URL ?? '';
const isMysql = given.startsWith('mysql:');

/**
 * An empty database. On the MySQL server of `DATABASE_URL`: one beside that which it names, with its name in front.
 * Otherwise a file of SQLite in a new folder, never the one that `npm start` uses.
 */
export async function createDatabase(label) {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const removeDataDir = () => rmSync(dataDir, { recursive: true, force: true });
  if (!isMysql) return { env: { DATABASE_URL: '', DATA_DIR: dataDir }, isMysql, drop: async () => removeDataDir() };

  const url = new URL(given);
  const name = `${url.pathname.slice(1)}_${label}_${randomBytes(3).toString('hex')}`;
  await inDatabase({ DATABASE_URL: given }, (dataSource) => dataSource.query(`CREATE DATABASE \`${name}\``));
  url.pathname = `/${name}`;
  const drop = async () => {
    removeDataDir();
    await inDatabase({ DATABASE_URL: given }, (dataSource) => dataSource.query(`DROP DATABASE \`${name}\``));
  };
  return { env: { DATABASE_URL: url.href, DATA_DIR: dataDir }, isMysql, drop };
}

/** Brings the schema up to date. */
export function migrateDatabase({ env }) {
  return inDatabase(env, migrate);
}

/** Runs `work` with a connection as Gatehouse makes it, without its limit on the time of a statement. */
export async function inDatabase(env, work) {
  const config = loadConfig({ NODE_ENV: 'test', ...env }, { serves: false });
  const dataSource = await createDataSource(config, { queryTimeoutMs: 0 }).initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
