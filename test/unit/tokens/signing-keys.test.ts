import { describe, expect, test } from 'vitest';
import { Clock } from '../../../src/common/clock.js';
import { MasterKeys } from '../../../src/common/master-keys.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { activeOf, nextOf, type Keys, type KeyRotation } from '../../../src/tokens/key-rotation.js';
import { livesOf } from '../../../src/tokens/key-life.js';
import { KeyVault } from '../../../src/tokens/key-vault.js';
import type { SigningKey } from '../../../src/tokens/signing-key.entity.js';
import { SigningKeys } from '../../../src/tokens/signing-keys.js';

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const vault = new KeyVault(new MasterKeys([Buffer.alloc(32, 1)]));

/** A table whose statements take their time: a read sees what is there when it starts. */
class SlowTable {
  readonly rows: SigningKey[] = [];
  reads = 0;

  async read(): Promise<Keys> {
    this.reads += 1;
    const seen = [...this.rows];
    await pause(Math.random() * 10);
    const lives = livesOf(seen, new Date());
    const ours = seen.map((row, i) => ({ row, pair: vault.open(row)!, life: lives[i]! }));
    return { ours, foreign: [], lastNumber: seen.length, isLedByOthers: false };
  }

  isDue = (keys: Keys) => !activeOf(keys) || !nextOf(keys);

  async keep(): Promise<Keys> {
    for (const number of [1, 2]) {
      await pause(Math.random() * 10);
      const now = new Date();
      if (this.rows.length < number) {
        this.rows.push(vault.generate(number, now, new Date(now.getTime() + (number - 1) * 86_400_000)));
      }
    }
    return this.read();
  }
}

const instanceOn = (table: SlowTable) => new SigningKeys(table as unknown as KeyRotation, new Clock(), new Metrics());

// Proves ours (Issuing tokens): instances that start at once make one signing key
test('the first logins of all instances, at once, find the one key', async () => {
  for (let round = 0; round < 20; round++) {
    const table = new SlowTable();
    const instances = [instanceOn(table), instanceOn(table)];
    const logins = Array.from({ length: 20 }, async (_, i) => {
      await pause(Math.random() * 20);
      return (await instances[i % 2]!.signingKey()).kid;
    });
    expect(new Set(await Promise.all(logins))).toEqual(new Set([table.rows[0]!.kid]));
  }
});

test('a key that another instance has just made is found, although a load is under way', async () => {
  for (let round = 0; round < 5; round++) {
    const table = new SlowTable();
    const [maker, checker] = [instanceOn(table), instanceOn(table)];
    void checker.publicKey('unknown'); // starts to load before there is a key
    const { kid } = await maker.signingKey();
    expect(await checker.publicKey(kid)).toBeDefined();
  }
});

describe('a key that an instance does not know', () => {
  test('is found, however recently it has looked: it waits, and refuses nobody', async () => {
    const table = new SlowTable();
    const [maker, checker] = [instanceOn(table), instanceOn(table)];
    await checker.published();
    const forged = Promise.all(Array.from({ length: 50 }, (_, i) => checker.publicKey(`forged ${i}`)));
    const now = new Date();
    table.rows.push(vault.generate(3, now, now));
    expect(await checker.publicKey((await maker.signingKey()).kid)).toBeDefined();
    expect(new Set(await forged)).toEqual(new Set([undefined]));
  });

  test('costs a query in half a second at most', async () => {
    const table = new SlowTable();
    const checker = instanceOn(table);
    await checker.published();
    const before = table.reads;
    await Promise.all(Array.from({ length: 500 }, (_, i) => checker.publicKey(`forged ${i}`)));
    expect(table.reads - before).toBeLessThanOrEqual(2);
  });
});
