import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { BreachedPasswords } from '../../../src/auth/breached-passwords.js';
import { PasswordBlocklist } from '../../../src/auth/password-blocklist.js';
import { PasswordPolicy } from '../../../src/auth/password-policy.js';
import { Config } from '../../../src/config/config.js';
import { Metrics } from '../../../src/metrics/metrics.js';

const config = new Config();
const blocklist = new PasswordBlocklist(config);
const metrics = new Metrics();
const asked: string[] = [];
const BREACHED = 'a password that was stolen';
const breached = {
  has: async (password: string) => {
    asked.push(password);
    return password === BREACHED;
  },
} as unknown as BreachedPasswords;
const policy = new PasswordPolicy(config, blocklist, breached, metrics);
const code = async (password: string, email = 'ada@example.com') => (await policy.problem(password, email))?.code;

describe('length, in code points after NFC', () => {
  // Proves 63B-4 §3.1.1.2(1), 63B-4 §3.1.1.2(4): a password has at least 15 code points, counted after NFC
  test('14 is too short, 15 is enough', async () => {
    expect(await code('violetkettlegr')).toBe('password_too_short');
    expect(await code('violetkettlegra')).toBeUndefined();
  });

  // Proves 63B-4 §3.1.1.2(1), 63B-4 §3.1.1.2(4): a password has at least 15 code points, counted after NFC
  test('an astral character counts once', async () => {
    expect(await code('👍'.repeat(14))).toBe('password_too_short');
    expect(await code('👍'.repeat(15))).toBeUndefined();
  });

  // Proves 63B-4 §3.1.1.2(1), 63B-4 §3.1.1.2(4): a password has at least 15 code points, counted after NFC
  test('a letter and its combining accent count once', async () => {
    expect(await code('é'.normalize('NFD').repeat(14))).toBe('password_too_short');
    expect(await code('é'.normalize('NFD').repeat(15))).toBeUndefined();
  });

  // Proves 63B-4 §3.1.1.2(2), ASVS 6.2.9: 128 characters are accepted, one more is refused
  test('64 and 128 pass, 129 does not', async () => {
    const text = 'violet kettle gravel '.repeat(10);
    expect(await code(text.slice(0, 64))).toBeUndefined();
    expect(await code(text.slice(0, 128))).toBeUndefined();
    expect(await code(text.slice(0, 129))).toBe('password_too_long');
  });

  test('at most 1024 bytes', async () => {
    expect(await code('👩🏽‍🚀'.repeat(32))).toBeUndefined(); // 128 code points, 480 bytes
    expect(Buffer.byteLength('👍'.repeat(128))).toBeLessThanOrEqual(1024);
  });
});

describe('content', () => {
  // Proves 63B-4 §3.1.1.2(3), 63B-4 §3.1.1.2(5), ASVS 6.2.5: any character, and no rules of composition
  test('no composition rules: letters alone, spaces anywhere', async () => {
    expect(await code('violet kettle gravel')).toBeUndefined();
    expect(await code('  correct horse battery  ')).toBeUndefined();
  });

  // Proves ASVS 6.2.4: common passwords are refused: at least 3000 that would be long enough
  test('common passwords are refused, in whatever case', async () => {
    for (const password of ['passwordpassword', '123456789012345', 'qwertyuiopasdfgh', 'QwertyUiopAsdfgh']) {
      expect(await code(password), password).toBe('password_common');
    }
  });

  // Proves ASVS 6.2.4: common passwords are refused: at least 3000 that would be long enough
  test('the list has at least 3000 entries that the length rule lets pass', () => {
    expect(blocklist.size).toBeGreaterThanOrEqual(3000);
  });

  test.each([
    ['in the background', async (list: PasswordBlocklist) => list.load()],
    [
      'by a question while it is read in the background',
      async (list: PasswordBlocklist) => {
        const loading = list.load();
        await turn();
        expect(list.size).toBe(blocklist.size);
        await loading;
      },
    ],
  ])('the list is the same when it is read %s', async (_, read) => {
    const list = new PasswordBlocklist(config);
    await read(list);
    expect(list.size).toBe(blocklist.size);
  });

  // Proves 63B-4 §3.1.1.2(blocklist): the entire password is held against the list, never a part of it; a refusal says why
  test('a known word inside a longer password is nothing bad', async () => {
    expect(await code('SecurePassword-xyz-123')).toBeUndefined();
    expect(await code('gatehouse violet kettle')).toBeUndefined();
  });

  // Proves ASVS 6.2.11: context words: service, address, its parts, in whatever guise
  test.each([
    ['the service, repeated', 'gatehousegatehouse'],
    ['the service and digits', 'Gatehouse-2026-11-22'],
    ['the address, padded', '!!ada.lovelace@example.com!!'],
    ['the local part, repeated', 'adalovelace-adalovelace'],
    ['the local part and digits', 'ada.lovelace1234567'],
    ['the domain, repeated', 'example.com example.com'],
    ['its first label, repeated', 'exampleEXAMPLEexample'],
  ])('context: %s', async (_, password) => {
    expect(await code(password, 'ada.lovelace@example.com')).toBe('password_predictable');
  });
});

describe('breaches', () => {
  const counts = async () => {
    const { values } = await metrics.breachedPasswords.get();
    return Object.fromEntries(values.map(({ labels, value }) => [`${labels['list']} ${labels['use']}`, value]));
  };

  test('a password that is known from one is refused, and counted', async () => {
    const before = await counts();
    expect(await code(BREACHED)).toBe('password_breached');
    expect(await code('passwordpassword')).toBe('password_common');
    const after = await counts();
    expect((after['range new'] ?? 0) - (before['range new'] ?? 0)).toBe(1);
    expect((after['builtin new'] ?? 0) - (before['builtin new'] ?? 0)).toBe(1);
  });

  test('what our own rules refuse is asked about nowhere', async () => {
    asked.length = 0;
    for (const password of ['short', 'passwordpassword', 'gatehousegatehouse', 'v k'.repeat(43)]) await code(password);
    expect(asked).toEqual([]);
    await code('violet kettle gravel');
    expect(asked).toEqual(['violet kettle gravel']);
  });
});

test('the minimum follows the configuration', async () => {
  const shorter = Object.assign(new Config(), { passwordMinLength: 12 });
  const relaxed = new PasswordPolicy(shorter, new PasswordBlocklist(shorter), breached, metrics);
  expect(await relaxed.problem('violetkettle', 'ada@example.com')).toBeUndefined();
  expect((await relaxed.problem('violetkettl', 'ada@example.com'))?.code).toBe('password_too_short');
  expect((await relaxed.problem('123456789012', 'ada@example.com'))?.code).toBe('password_common');
});
