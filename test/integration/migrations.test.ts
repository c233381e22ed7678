import { readFileSync } from 'node:fs';
import mysql from 'mysql2/promise';
import { type DataSource } from 'typeorm';
import { afterEach, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.js';
import { createDataSource } from '../../src/database/data-source.js';
import { migrate, pendingMigrations } from '../../src/database/migrator.js';
import { migrations } from '../../src/database/migrations.js';
import { baseEnvironment, createDatabase, startGatehouse, type EmptyDatabase } from '../support/gatehouse.js';

const isMysql = inject('databaseServer') !== '';
const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function emptyDatabase(): Promise<EmptyDatabase> {
  const database = await createDatabase();
  cleanUps.push(() => database.drop());
  return database;
}

async function open({ url }: EmptyDatabase): Promise<DataSource> {
  const dataSource = await createDataSource(loadConfig(baseEnvironment(url))).initialize();
  cleanUps.push(() => dataSource.destroy());
  return dataSource;
}

const names = migrations.map(({ name }) => name);

/** Every statement that makes the schema, as the server itself would write it; SQLite keeps them in sqlite_master. */
async function schemaOf(dataSource: DataSource): Promise<Record<string, string>> {
  if (!isMysql) {
    const rows: { name: string; sql: string }[] = await dataSource.query(
      "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    return Object.fromEntries(rows.map(({ name, sql }) => [name, sql]));
  }
  const tables: Record<string, string>[] = await dataSource.query('SHOW TABLES');
  const schema: Record<string, string> = {};
  for (const row of tables) {
    const table = Object.values(row)[0] as string;
    const [created] = await dataSource.query(`SHOW CREATE TABLE ${table}`);
    schema[table] = created['Create Table'].replace(/ AUTO_INCREMENT=\d+/, '');
  }
  return schema;
}

test('apply in order, say what they did, and do nothing the second time', async () => {
  const dataSource = await open(await emptyDatabase());
  expect(await pendingMigrations(dataSource)).toEqual(names);
  expect(await migrate(dataSource)).toEqual(names);
  expect(await pendingMigrations(dataSource)).toEqual([]);
  expect(await migrate(dataSource)).toEqual([]);
});

test('can be run again after a kill at any point', async () => {
  const whole = await open(await emptyDatabase());
  await migrate(whole);
  const expected = await schemaOf(whole);
  // As if the process had died behind each statement in turn, and before the row that says that a migration is done.
  // (Every fifth on MySQL, where DDL takes its time.)
  const statements = 40;
  for (let survivor = 1; survivor <= statements; survivor += isMysql ? 5 : 1) {
    const database = await emptyDatabase();
    const dying = await open(database);
    let left = survivor;
    const createRunner = dying.driver.createQueryRunner.bind(dying.driver);
    dying.driver.createQueryRunner = (mode) => {
      const runner = createRunner(mode);
      const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
      runner.query = (async (...args: unknown[]) => {
        if (/^(CREATE|ALTER|INSERT)/.test(String(args[0])) && left-- <= 0) throw new Error('killed');
        return query(...args);
      }) as never;
      return runner;
    };
    await migrate(dying).catch(() => {});
    const again = await open(database);
    await migrate(again);
    expect(await schemaOf(again), `killed behind statement ${survivor}`).toEqual(expected);
    expect(await pendingMigrations(again)).toEqual([]);
  }
});

test('two at once: each is applied by one of them', async () => {
  const database = await emptyDatabase();
  const [one, other] = [await open(database), await open(database)];
  // One process cannot wait for SQLite's lock and work at the same time; real processes do so in the start-up tests.
  const applied = isMysql
    ? (await Promise.all([migrate(one), migrate(other)])).flat()
    : [...(await migrate(one)), ...(await migrate(other))];
  expect(applied.sort()).toEqual([...names].sort());
});

// Proves ours (Database): identifiers and addresses are compared byte by byte
test('every table compares identifiers and addresses byte by byte', async () => {
  const dataSource = await open(await emptyDatabase());
  await migrate(dataSource);
  const add = (id: string, email: string) =>
    dataSource.query(
      'INSERT INTO users (id, email, email_canonical, email_verified, password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?)',
      [id, email, email, 0, 'x', '2026-11-22 00:00:00.000'],
    );
  for (const [i, email] of [
    'a@x.example',
    'A@x.example',
    'á@x.example',
    'a@x.example ',
    '🍣@x.example',
    '🍺@x.example',
  ].entries()) {
    await add(String(i), email);
  }
  await expect(add('9', 'a@x.example')).rejects.toThrow();
});

test('down takes each back', async () => {
  const dataSource = await open(await emptyDatabase());
  await migrate(dataSource);
  for (let i = 0; i < names.length; i++) await dataSource.undoLastMigration({ transaction: 'none' });
  expect(Object.keys(await schemaOf(dataSource)).filter((name) => !/migrations/.test(name))).toEqual([]);
});

// A script for MySQL: on SQLite there is nothing to test.
if (isMysql) {
  test('schema.sql, loaded into an empty database it is what the migrations make, and the service is ready on it', async () => {
    const migrated = await open(await emptyDatabase());
    await migrate(migrated);

    const database = await emptyDatabase();
    const connection = await mysql.createConnection({ uri: database.url, multipleStatements: true });
    const [rows] = await connection.query('SELECT VERSION() AS version');
    const isMariadb = /mariadb/i.test((rows as { version: string }[])[0]!.version);
    const script = readFileSync('migrations/schema.sql', 'utf8');
    // The script is for MySQL; MariaDB has the collation under another name.
    await connection.query(isMariadb ? script.replaceAll('utf8mb4_0900_bin', 'utf8mb4_nopad_bin') : script);
    await connection.end();

    const loaded = await open(database);
    expect(await schemaOf(loaded)).toEqual(await schemaOf(migrated));
    expect(await pendingMigrations(loaded)).toEqual([]);
    const gatehouse = await startGatehouse({ DATABASE_URL: database.url });
    expect((await gatehouse.get('/health/ready')).status).toBe(200);
    await gatehouse.signUpAndLogIn();
    await gatehouse.stop();
  });
}
