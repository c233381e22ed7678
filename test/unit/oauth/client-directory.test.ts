import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ClientDirectory } from '../../../src/oauth/client-directory.js';
import type { KnownClient, ServiceClientRepository } from '../../../src/oauth/service-client.repository.js';

/** A table that takes its time, and counts. */
class SlowTable {
  readonly rows = new Map<string, KnownClient>();
  reads = 0;
  lookups = 0;

  add(disabledAt: Date | null = null): string {
    const id = randomUUID();
    const client = { id, name: id, audiences: [], jwks: null, createdAt: new Date(), disabledAt };
    this.rows.set(id, { client, secrets: [] });
    return id;
  }

  async findKnown(ids?: string[]): Promise<Map<string, KnownClient>> {
    this[ids ? 'lookups' : 'reads'] += 1;
    const seen = [...this.rows].filter(([id]) => !ids || ids.includes(id));
    await sleep(20);
    return new Map(seen);
  }
}

const directoryOf = (table: SlowTable) => new ClientDirectory(table as unknown as ServiceClientRepository);

test('everybody who asks in a second shares one query', async () => {
  const table = new SlowTable();
  const ids = Array.from({ length: 1_200 }, () => table.add());
  const directory = directoryOf(table);
  for (let round = 0; round < 2; round++) {
    const found = await Promise.all(ids.map((id) => directory.find(id.toUpperCase())));
    expect(found.map((known) => known?.client.id)).toEqual(ids);
  }
  expect(table).toMatchObject({ reads: 1, lookups: 0 });
});

test('thousands of unknown ones keep no known one out, and travel together', async () => {
  const table = new SlowTable();
  const directory = directoryOf(table);
  await directory.find(randomUUID());
  const newcomer = table.add();
  const strangers = Array.from({ length: 3_000 }, () => directory.findNew(randomUUID()));
  expect((await directory.findNew(newcomer))?.client.id).toBe(newcomer);
  expect(new Set(await Promise.all(strangers))).toEqual(new Set([undefined]));
  expect(table.lookups).toBeLessThanOrEqual(7); // 500 at a time
});

test('a disabled one is not looked up again, and no client is what is no id', async () => {
  const table = new SlowTable();
  const disabled = table.add(new Date());
  const directory = directoryOf(table);
  for (const id of [disabled, 'x', '', 7 as unknown as string]) {
    expect(await directory.find(id)).toBeUndefined();
    expect(await directory.findNew(id)).toBeUndefined();
  }
  expect(table.lookups).toBe(0);
});

test('a query that fails is asked again', async () => {
  const table = new SlowTable();
  const id = table.add();
  const directory = directoryOf(table);
  const { findKnown } = table;
  table.findKnown = () => Promise.reject(new Error('gone'));
  await expect(directory.find(id)).rejects.toThrow('gone');
  table.findKnown = findKnown;
  expect((await directory.find(id))?.client.id).toBe(id);
});
