import type { SslOptions } from 'mysql2';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { hostOf, sslModeOf, type Config } from '../config/config.js';
import { InvalidConfig } from '../config/load-config.js';
import { DatabaseLog } from './database-log.js';
import { migrations } from './migrations.js';
import { boundedMysql } from './mysql-driver.js';
import { serialiseSqlite } from './serialised-sqlite.js';
import { prepareSqlite } from './sqlite-driver.js';

const CONNECT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 5_000;

/** What no waiting mends: whoever waits a minute for it looks like a service that starts slowly. */
const REFUSALS = new Set(['ER_ACCESS_DENIED_ERROR', 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR']);

/** The database is there and does not let us in. Says so without the address, which has the password in it. */
export class DatabaseRefuses extends Error {
  constructor(code: string) {
    super(`the database refuses the user or the password of DATABASE_URL (${code})`);
    this.name = 'DatabaseRefuses';
  }
}

export interface DataSourceSettings {
  entities?: DataSourceOptions['entities'];
  /** Longest wait for one answer, in milliseconds; 0 for none. A migration may take its time, a request may not. */
  queryTimeoutMs?: number;
}

/** A data source for the configured database, not connected yet. Shared by the server, the CLI and the tests. */
export function createDataSource(
  config: Config,
  { entities = [], queryTimeoutMs = QUERY_TIMEOUT_MS }: DataSourceSettings = {},
): DataSource {
  const common = { entities, migrations, synchronize: false, migrationsRun: false, logger: new DatabaseLog() } as const;
  const { sqlitePath } = config;
  if (sqlitePath !== undefined) {
    refuseWithoutSqlite();
    return serialiseSqlite(
      new DataSource({
        ...common,
        type: 'better-sqlite3',
        database: sqlitePath,
        enableWAL: true,
        prepareDatabase: prepareSqlite,
      }),
    );
  }
  const url = new URL(config.databaseUrl);
  return new DataSource({
    ...common,
    type: 'mysql',
    driver: boundedMysql,
    host: hostOf(url),
    port: Number(url.port || 3306),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    charset: 'utf8mb4',
    timezone: 'Z',
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxQueryExecutionTime: queryTimeoutMs,
    enableQueryTimeout: queryTimeoutMs > 0,
    poolSize: config.databasePoolSize,
    multipleStatements: false,
    ssl: tlsOptions(url) as never,
  });
}

/**
 * Connects, and tries again while the database is not there yet: after 0.25 s, 0.5 s, 1 s … at most 5 s apart, for about a
 * minute in all. Orchestrators without start order need this even where compose waits for health.
 *
 * @param onFailure told the driver's error code of each failed try, and the wait before the next, in milliseconds.
 * @throws DatabaseRefuses at once when the credentials are wrong; otherwise the last error.
 */
export async function connect(
  dataSource: DataSource,
  onFailure: (code: string, waitMs: number) => void,
  { attempts = 15 } = {},
): Promise<DataSource> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await dataSource.initialize();
    } catch (error) {
      const { code = 'unknown' } = error as { code?: string };
      if (REFUSALS.has(code)) throw new DatabaseRefuses(code);
      if (attempt >= attempts) throw error;
      const waitMs = Math.min(250 * 2 ** (attempt - 1), 5_000);
      onFailure(code, waitMs);
      await sleep(waitMs);
    }
  }
}

export function isSqlite(dataSource: DataSource): boolean {
  return dataSource.options.type === 'better-sqlite3';
}

/** better-sqlite3 is optional: a machine that can neither download nor compile it still runs on MySQL. */
function refuseWithoutSqlite(): void {
  try {
    createRequire(import.meta.url).resolve('better-sqlite3');
  } catch {
    throw new InvalidConfig([
      'DATABASE_URL must be a mysql:// address here: better-sqlite3, which SQLite needs, is not installed',
    ]);
  }
}

function tlsOptions(url: URL): SslOptions | undefined {
  if (sslModeOf(url) === 'DISABLED') return undefined;
  const ca = url.searchParams.get('ssl-ca');
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    // Without it mysql2 checks the chain and not the name: any certificate of the same authority would do.
    verifyIdentity: true,
    ...(ca && { ca: readFileSync(ca, 'utf8') }),
  };
}
