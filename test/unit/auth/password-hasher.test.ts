import bcrypt from 'bcrypt';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Piscina } from 'piscina';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { PasswordHasher } from '../../../src/auth/password-hasher.js';
import { MasterKeys } from '../../../src/common/master-keys.js';
import { Config } from '../../../src/config/config.js';
import { Metrics } from '../../../src/metrics/metrics.js';

const secret = randomBytes(32);
const masterKeys = new MasterKeys([secret]);
const hashers: PasswordHasher[] = [];
const hasherOf = (settings: Partial<Config> = {}, keys = masterKeys, metrics = new Metrics()) => {
  const hasher = new PasswordHasher(
    Object.assign(new Config(), { bcryptCost: 4, hashConcurrency: 1, ...settings }),
    keys,
    metrics,
  );
  hashers.push(hasher);
  return hasher;
};
const hasher = hasherOf();
afterAll(() => Promise.all(hashers.map((one) => one.onApplicationShutdown())));

const PASSWORD = 'violet kettle gravel';
const ID = '01a203e0-390a-7649-97dc-7d3f8c9bf560';

describe('what is stored', () => {
  // Proves ASVS 11.4.2, CS Password Storage: hashes are bcrypt over a pre-hash that leaves nothing out, of cost 12, in production at least 10
  test('is bcrypt over base64(HMAC-SHA-384(context, NFC(password))), sealed', async () => {
    const stored = await hasher.hash(ID, PASSWORD);
    const [scheme, sealed] = stored.split(':') as [string, string];
    expect(scheme).toBe('bcrypt-hmac-sha384');
    const hash = masterKeys.open('password-pepper', sealed, ID) as string;
    expect(hash).toMatch(/^\$2b\$04\$/);
    const preHash = createHmac('sha384', 'gatehouse/v1/password-pre-hash').update(PASSWORD).digest('base64');
    expect(preHash).toHaveLength(64);
    expect(await bcrypt.compare(preHash, hash)).toBe(true);
  });

  // Proves 63B-4 §3.1.1.2(storage): one password of two people has two hashes, and a hash moved to another account opens nothing
  test('fits its column, and differs for two people with one password', async () => {
    const a = await hasher.hash(ID, PASSWORD);
    const b = await hasher.hash('other', PASSWORD);
    expect(a).not.toBe(b);
    expect(a.length).toBeLessThanOrEqual(255);
  });
});

describe('verifying', () => {
  const check = async (password: string, stored: string, id = ID) =>
    hasher.verify({ id, passwordHash: stored }, password);

  // Proves 63B-4 §3.1.1.2(9), ASVS 6.2.8: the whole password counts: nothing is cut, trimmed or folded
  test('the whole password counts: case, spaces, the last of 100 characters', async () => {
    const long = 'x'.repeat(99);
    const stored = await hasher.hash(ID, `${long}a`);
    expect(await check(`${long}a`, stored)).toEqual({ matches: true, isOutdated: false });
    for (const wrong of [`${long}b`, `${long}A`, long, `${long}a `, '']) {
      expect((await check(wrong, stored)).matches, wrong.slice(-3)).toBe(false);
    }
  });

  // Proves 63B-4 §3.1.1.2(normalisation): composed and decomposed letters are one password, compatibility forms are not
  test('composed and decomposed letters are the same, compatibility forms are not', async () => {
    const stored = await hasher.hash(ID, 'caf\u00e9 ﬁne gravel');
    expect((await check('cafe\u0301 ﬁne gravel', stored)).matches).toBe(true);
    expect((await check('caf\u00e9 fine gravel', stored)).matches).toBe(false);
  });

  // Proves ours (Passwords): ill-formed text is refused and opens nothing
  test('a lone surrogate never opens what U+FFFD would', async () => {
    const stored = await hasher.hash(ID, 'violet \ufffd gravel');
    expect((await check('violet \ufffd gravel', stored)).matches).toBe(true);
    expect((await check('violet \ud800 gravel', stored)).matches).toBe(false);
  });

  // Proves 63B-4 §3.1.1.2(storage): one password of two people has two hashes, and a hash moved to another account opens nothing
  test("a hash moved to another person's row opens nothing", async () => {
    const stored = await hasher.hash('somebody else', PASSWORD);
    expect(await check(PASSWORD, stored)).toEqual({ matches: false, isOutdated: false });
  });

  // Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
  test('the decoy is opened by nobody, after the same work', async () => {
    expect(await hasher.verify(hasher.decoy, PASSWORD)).toEqual({ matches: false, isOutdated: false });
    const { id, passwordHash } = hasher.decoy;
    const hash = masterKeys.open('password-pepper', passwordHash.split(':')[1] as string, id) as string;
    expect(hash).toMatch(/^\$2b\$04\$[./A-Za-z0-9]{53}$/);
    // bcrypt refuses at once, without work, what is no salt.
    const salt = hash.slice(0, 29);
    expect((await bcrypt.hash(PASSWORD, salt)).slice(0, 28)).toBe(salt.slice(0, 28));
    expect(hasherOf().decoy.passwordHash).not.toBe(passwordHash);
  });
});

// Proves ASVS 11.4.2, CS Password Storage, ASVS 11.2.2: hashes of another cost, key or system are upgraded at the next login
describe('plain bcrypt from elsewhere', () => {
  test.each(['2a', '2b', '2y'])('$%s$ verifies and is due for an upgrade', async (version) => {
    const plain = (await bcrypt.hash(PASSWORD, 4)).replace('$2b$', `$${version}$`);
    expect(await hasher.verify({ id: ID, passwordHash: plain }, PASSWORD)).toEqual({ matches: true, isOutdated: true });
    expect((await hasher.verify({ id: ID, passwordHash: plain }, `${PASSWORD}x`)).matches).toBe(false);
  });

  test('what lies beyond the 72 bytes that bcrypt reads does not become the password', async () => {
    const passwordHash = await bcrypt.hash('x'.repeat(80), 4);
    expect(await hasher.verify({ id: ID, passwordHash }, 'x'.repeat(79))).toEqual({ matches: true, isOutdated: false });
  });

  test('a known answer of another implementation (jBCrypt test vector)', async () => {
    const passwordHash = '$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i';
    expect((await hasher.verify({ id: ID, passwordHash }, 'abc')).matches).toBe(true);
  });
});

// Proves ASVS 11.4.2, CS Password Storage, ASVS 11.2.2: hashes of another cost, key or system are upgraded at the next login
describe('upgrades', () => {
  test('another cost is outdated', async () => {
    const stored = await hasherOf({ bcryptCost: 5 }).hash(ID, PASSWORD);
    expect(await hasher.verify({ id: ID, passwordHash: stored }, PASSWORD)).toEqual({
      matches: true,
      isOutdated: true,
    });
  });

  test('an older master key is outdated, and still verifies while it is in the list', async () => {
    const rotated = hasherOf({}, new MasterKeys([randomBytes(32), secret]));
    const stored = await hasher.hash(ID, PASSWORD);
    expect(await rotated.verify({ id: ID, passwordHash: stored }, PASSWORD)).toEqual({
      matches: true,
      isOutdated: true,
    });
  });
});

// Proves ASVS 15.2.2: a full hash queue is a 503, and hashing has the lowest priority
describe('load', () => {
  test('a full queue is a 503 with Retry-After, and what was accepted is done', async () => {
    const metrics = new Metrics();
    const busy = hasherOf({}, masterKeys, metrics);
    const results = await Promise.allSettled(Array.from({ length: 120 }, () => busy.hash(ID, PASSWORD)));
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(results.length - refused.length).toBeGreaterThanOrEqual(64);
    for (const { reason } of refused) {
      expect(reason).toMatchObject({ kind: 'unavailable', detail: 'hash_queue_full', headers: { 'Retry-After': '2' } });
    }
    expect((await metrics.passwordHashRefusals.get()).values[0]?.value).toBe(refused.length);
  });

  test.runIf(process.platform === 'linux')(
    'the threads that hash have the lowest priority, the others theirs',
    async () => {
      await hasher.hash(ID, PASSWORD);
      expect(niceness().filter(({ nice }) => nice === 19).length).toBeGreaterThanOrEqual(1);
      expect(niceness().find(({ isMain }) => isMain)?.nice).not.toBe(19);
    },
  );

  test.runIf(process.platform === 'linux')(
    'a server begins with one thread, and has the others when it is busy',
    async () => {
      const threads = () => niceness().filter(({ nice }) => nice === 19).length;
      const before = threads();
      const three = hasherOf({ hashConcurrency: 3, bcryptCost: 8 });
      await three.start();
      expect(threads()).toBe(before + 1);
      await Promise.all(Array.from({ length: 60 }, () => three.hash(ID, PASSWORD)));
      expect(threads()).toBe(before + 3);
    },
  );

  test('none is ended while it loads: the process would be aborted', async () => {
    const three = hasherOf({ hashConcurrency: 3 });
    const hashes = Promise.allSettled(Array.from({ length: 9 }, () => three.hash(ID, PASSWORD)));
    const pool = (three as unknown as { startedPool: Piscina }).startedPool;
    const order: string[] = [];
    for (const thread of pool.threads) thread.once('message', () => order.push('loaded'));
    const destroy = pool.destroy.bind(pool);
    vi.spyOn(pool, 'destroy').mockImplementation(() => {
      order.push('ended');
      return destroy();
    });
    await three.onApplicationShutdown();
    expect(order).toEqual(['loaded', 'loaded', 'loaded', 'ended']);
    await hashes;
  });

  test('one that dies is followed by another, which holds up the end no longer than the first would', async () => {
    const one = hasherOf();
    await one.start();
    const pool = (one as unknown as { startedPool: Piscina }).startedPool;
    const first = pool.threads[0]!;
    const died = once(first, 'exit');
    await first.terminate();
    await died;
    await once(pool.threads[0]!, 'message'); // it has loaded before anybody asks for a hash
    await one.hash(ID, PASSWORD);
    await one.onApplicationShutdown();
    expect(pool.threads).toEqual([]);
  });
});

/** Of each thread of this process. */
function niceness(): { isMain: boolean; nice: number }[] {
  return readdirSync('/proc/self/task').map((task) => {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8');
    return { isMain: Number(task) === process.pid, nice: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]) };
  });
}
