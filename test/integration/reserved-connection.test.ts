import { setTimeout as sleep } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { ReservedConnection } from '../../src/database/reserved-connection.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer } from '../support/server-process.js';

const POOL_SIZE = 6;

let gatehouse: Gatehouse;
let connection: ReservedConnection;
const taken: QueryRunner[] = [];
beforeAll(async () => {
  gatehouse = await startGatehouse({ DATABASE_POOL_SIZE: String(POOL_SIZE) });
});
afterEach(async () => {
  connection.release();
  for (const runner of taken.splice(0)) await runner.release();
});
afterAll(() => gatehouse.stop());

const ask = async (statement = 'SELECT 7 AS n') => {
  const [row] = await connection.query<{ n: string | number }[]>(statement, []);
  return Number(row?.n);
};

/** Takes the connections of the pool that are left, for as long as a test goes on. */
async function takeTheOthers(): Promise<void> {
  for (;;) {
    const runner = gatehouse.dataSource.createQueryRunner();
    const connected = runner.connect().then(() => true);
    if (!(await Promise.race([connected, sleep(300, false)]))) {
      connected.catch(() => undefined); // it waits until the others are given back
      taken.push(runner);
      return;
    }
    taken.push(runner);
  }
}

test('it answers what the data source answers, and throws what that throws', async () => {
  connection = new ReservedConnection(gatehouse.dataSource);
  expect(await ask()).toBe(7);
  await expect(ask('SELECT a FROM nowhere')).rejects.toThrow('nowhere');
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([7, 7, 7]);
});

if (isDatabaseServer()) {
  const id = () => ask('SELECT CONNECTION_ID() AS n');

  test('its queries wait for nobody, however busy the pool is', async () => {
    connection = new ReservedConnection(gatehouse.dataSource);
    const mine = await id();
    await takeTheOthers();
    expect(await Promise.race([id(), sleep(2_000, 'it waited')])).toBe(mine);
  });

  test('the pool has it back when it is idle', async () => {
    connection = new ReservedConnection(gatehouse.dataSource, 20);
    const mine = await id();
    const statement = 'SELECT CONNECTION_ID() AS n, SLEEP(0.1)';
    const idsOfPool = async () => {
      const others = Array.from({ length: 2 * POOL_SIZE }, () => gatehouse.sql<{ n: string }>(statement));
      return (await Promise.all(others)).map(([row]) => Number(row?.n));
    };
    await vi.waitFor(async () => expect(await idsOfPool()).toContain(mine), { timeout: 10_000 });
  });

  test('a connection that dies, between queries or in one, is followed by another', async () => {
    connection = new ReservedConnection(gatehouse.dataSource);
    const first = await id();
    await gatehouse.sql(`KILL ${first}`);
    await sleep(100);
    const second = await id();
    expect(second).not.toBe(first);
    const inOne = ask('SELECT SLEEP(5) AS n').catch((error: Error) => error);
    await sleep(100);
    await gatehouse.sql(`KILL ${second}`);
    expect(await inOne).toBeInstanceOf(Error);
    expect(await id()).not.toBe(second);
  });

  test('a release while it connects, or while a query is under way, gives it back after that', async () => {
    for (const pauseMs of [0, 100]) {
      connection = new ReservedConnection(gatehouse.dataSource, 20);
      const answer = ask('SELECT SLEEP(0.2) + 7 AS n');
      await sleep(pauseMs);
      connection.release();
      expect(await answer).toBe(7);
      await sleep(60);
      expect(await ask()).toBe(7); // from the pool
    }
  });

  test('to be taken and given back again and again leaves nothing behind on the connection', async () => {
    connection = new ReservedConnection(gatehouse.dataSource, 5);
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    for (let i = 0; i < 20; i++) {
      await ask();
      await sleep(15);
    }
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  test('while a query has not ended the next one goes to the pool', async () => {
    connection = new ReservedConnection(gatehouse.dataSource);
    const mine = await id();
    const slow = ask('SELECT SLEEP(1) AS n');
    expect(await id()).not.toBe(mine);
    await slow;
    expect(await id()).toBe(mine);
  });

  test('a pool that has none to spare keeps all', async () => {
    const small = await gatehouse.another({ DATABASE_POOL_SIZE: '1' });
    connection = new ReservedConnection(small.dataSource);
    await ask();
    expect(await small.dataSource.query('SELECT 1 AS n')).toHaveLength(1);
    await small.stop();
  });
}
