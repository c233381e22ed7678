import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { DatabaseLog } from '../../src/database/database-log.js';
import { inTransaction } from '../../src/database/transaction.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

const isMysql = inject('databaseServer') !== '';
let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  await gatehouse.sql('CREATE TABLE probe (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)');
});
afterAll(() => gatehouse.stop());

const ids = async () => (await gatehouse.sql('SELECT id FROM probe ORDER BY id')).map(({ id }) => Number(id));
const clear = () => gatehouse.sql('DELETE FROM probe');
const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('transactions on one data source', () => {
  test('a rollback takes nobody else’s write with it', async () => {
    await clear();
    const rolledBack = inTransaction(gatehouse.dataSource, async (transaction) => {
      await transaction.query('INSERT INTO probe VALUES (1, 1)');
      await pause();
      throw new Error('no');
    });
    await pause();
    const beside = gatehouse.sql('INSERT INTO probe VALUES (2, 2)');
    await expect(rolledBack).rejects.toThrow('no');
    await beside;
    expect(await ids()).toEqual([2]);
  });

  test('20 interleaved ones commit or roll back each for itself', async () => {
    await clear();
    await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        inTransaction(gatehouse.dataSource, async (transaction) => {
          await transaction.query('INSERT INTO probe VALUES (?, ?)', [i, i]);
          await pause();
          if (i % 2 === 1) throw new Error('no');
          await transaction.query('UPDATE probe SET n = n + 1 WHERE id = ?', [i]);
        }),
      ),
    );
    expect(await ids()).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  });

  test('nobody reads what is not committed', async () => {
    await clear();
    const writing = inTransaction(gatehouse.dataSource, async (transaction) => {
      await transaction.query('INSERT INTO probe VALUES (1, 1)');
      await pause();
      throw new Error('no');
    });
    expect(await ids()).toEqual([]);
    await expect(writing).rejects.toThrow();
  });

  test('a transaction that cannot begin stops nobody', async () => {
    await clear();
    const runner = gatehouse.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('COMMIT'); // behind TypeORM's back, so that its own COMMIT and ROLLBACK fail on SQLite
    await runner.commitTransaction().catch(() => runner.rollbackTransaction().catch(() => {}));
    await runner.release();
    await gatehouse.sql('INSERT INTO probe VALUES (1, 1)');
    expect(await ids()).toEqual([1]);
  });

  test('a failed statement inside leaves the connection usable', async () => {
    await clear();
    await expect(
      inTransaction(gatehouse.dataSource, (transaction) => transaction.query('SELECT * FROM nowhere')),
    ).rejects.toThrow();
    await gatehouse.sql('INSERT INTO probe VALUES (1, 1)');
    expect(await ids()).toEqual([1]);
  });

  // SQLite has one writer at a time, so no deadlocks.
  if (isMysql)
    test('a deadlock’s victim is run again', async () => {
      await clear();
      await gatehouse.sql('INSERT INTO probe VALUES (1, 0), (2, 0)');
      const both = (first: number, second: number) =>
        inTransaction(gatehouse.dataSource, async (transaction) => {
          await transaction.query('UPDATE probe SET n = n + 1 WHERE id = ?', [first]);
          await pause();
          await transaction.query('UPDATE probe SET n = n + 1 WHERE id = ?', [second]);
        });
      await Promise.all(Array.from({ length: 6 }, (_, i) => (i % 2 ? both(1, 2) : both(2, 1))));
      const rows = await gatehouse.sql('SELECT n FROM probe');
      expect(rows.map(({ n }) => Number(n))).toEqual([6, 6]);
    });
});

const onMysql = isMysql ? describe : () => {};
onMysql('every connection', () => {
  // Proves ours (Database): every connection is strict, in UTC, and takes one statement at a time
  test('is strict, in UTC and reads what is committed', async () => {
    const settings = await Promise.all(
      Array.from({ length: 12 }, () =>
        gatehouse.sql(
          'SELECT @@sql_mode AS mode, @@time_zone AS zone, @@wait_timeout AS silence, CONNECTION_ID() AS id',
        ),
      ),
    );
    expect(new Set(settings.map(([row]) => row.id)).size).toBeGreaterThan(1);
    for (const [row] of settings) {
      expect(row.mode).toContain('STRICT_ALL_TABLES');
      expect(row.zone).toBe('+00:00');
      expect(Number(row.silence)).toBe(10);
    }
    await expect(gatehouse.sql('INSERT INTO probe VALUES (99, NULL)')).rejects.toThrow();
  });

  test('that nobody uses is closed before the server would, and nobody meets a closed one', async () => {
    const use = () => Promise.all(Array.from({ length: 12 }, () => gatehouse.sql('SELECT SLEEP(0.1)')));
    const open = async () => {
      const query = 'SELECT COUNT(*) AS n FROM information_schema.processlist WHERE db = DATABASE()';
      return Number((await gatehouse.sql(query))[0].n);
    };
    await use();
    expect(await open()).toBe(10);
    await sleep(7_000);
    expect(await open()).toBeLessThan(5); // those of the background work
    await use();
  });

  test('a statement that takes too long gives its connection up, and says nothing but that', async () => {
    const slow = gatehouse.sql("SELECT SLEEP(20), 'canary-parameter'");
    await expect(slow).rejects.toThrow();
    const started = Date.now();
    await Promise.all(Array.from({ length: 12 }, () => gatehouse.sql('SELECT 1')));
    expect(Date.now() - started).toBeLessThan(10_000); // not the rest of the twenty seconds
    new DatabaseLog().logQuerySlow(...(['5001', 'canary-parameter', ['canary-parameter']] as unknown as [number]));
    expect(gatehouse.logLines.join()).toContain('slow_query');
    expect(gatehouse.logLines.join()).not.toContain('canary-parameter');
  });

  // Proves ASVS 16.5.2, ASVS 16.5.3: a database out of reach means 503, never yes and never no
  test('a row that is locked for long: 503 for who needs it, nothing for the others', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const other = await gatehouse.signUpAndLogIn();
    const sid = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sid;
    const runner = gatehouse.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT * FROM sessions WHERE id = ? FOR UPDATE', [sid]);
    const logout = gatehouse.post('/auth/logout', undefined, { token });
    expect((await gatehouse.get('/users/me', { token: other.access_token })).status).toBe(200);
    expect((await logout).status).toBe(503);
    await runner.rollbackTransaction();
    await runner.release();
    expect((await gatehouse.post('/auth/logout', undefined, { token })).status).toBe(204);
  });

  // Proves ours (Database): every connection is strict, in UTC, and takes one statement at a time
  test('takes one statement at a time', async () => {
    await expect(gatehouse.sql('SELECT 1; SELECT 2')).rejects.toThrow();
  });
});
