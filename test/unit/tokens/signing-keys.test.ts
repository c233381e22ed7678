import { expect, test } from 'vitest';
import { Clock } from '../../../src/common/clock.js';
import { MasterKeys } from '../../../src/common/master-keys.js';
import type { SigningKey } from '../../../src/tokens/signing-key.entity.js';
import type { SigningKeyRepository } from '../../../src/tokens/signing-key.repository.js';
import { SigningKeys } from '../../../src/tokens/signing-keys.js';

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A table whose statements take their time: a read sees what is there when it starts. */
class SlowTable {
  readonly rows: SigningKey[] = [];

  async findPublished(): Promise<SigningKey[]> {
    const seen = [...this.rows];
    await pause(Math.random() * 10);
    return seen;
  }

  async addUnlessTaken(key: SigningKey): Promise<void> {
    await pause(Math.random() * 10);
    if (this.rows.length === 0) this.rows.push(key);
  }
}

const masterKeys = new MasterKeys([Buffer.alloc(32, 1)]);
const instanceOn = (table: SlowTable) =>
  new SigningKeys(table as unknown as SigningKeyRepository, masterKeys, new Clock());

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
  for (let round = 0; round < 20; round++) {
    const table = new SlowTable();
    const [maker, checker] = [instanceOn(table), instanceOn(table)];
    void checker.publicKey('unknown'); // starts to load before there is a key
    const { kid } = await maker.signingKey();
    expect(await checker.publicKey(kid)).toBeDefined();
  }
});
