import { describe, expect, test } from 'vitest';
import { PasswordBlocklist } from '../../../src/auth/password-blocklist.js';
import { PasswordPolicy } from '../../../src/auth/password-policy.js';
import { Config } from '../../../src/config/config.js';

const config = new Config();
const blocklist = new PasswordBlocklist(config);
const policy = new PasswordPolicy(config, blocklist);
const code = (password: string, email = 'ada@example.com') => policy.problem(password, email)?.code;

describe('length, in code points after NFC', () => {
  test('14 is too short, 15 is enough', () => {
    expect(code('violetkettlegr')).toBe('password_too_short');
    expect(code('violetkettlegra')).toBeUndefined();
  });

  test('an astral character counts once', () => {
    expect(code('👍'.repeat(14))).toBe('password_too_short');
    expect(code('👍'.repeat(15))).toBeUndefined();
  });

  test('a letter and its combining accent count once', () => {
    expect(code('é'.normalize('NFD').repeat(14))).toBe('password_too_short');
    expect(code('é'.normalize('NFD').repeat(15))).toBeUndefined();
  });

  test('64 and 128 pass, 129 does not', () => {
    const text = 'violet kettle gravel '.repeat(10);
    expect(code(text.slice(0, 64))).toBeUndefined();
    expect(code(text.slice(0, 128))).toBeUndefined();
    expect(code(text.slice(0, 129))).toBe('password_too_long');
  });

  test('at most 1024 bytes', () => {
    expect(code('👩🏽‍🚀'.repeat(32))).toBeUndefined(); // 128 code points, 480 bytes
    expect(Buffer.byteLength('👍'.repeat(128))).toBeLessThanOrEqual(1024);
  });
});

describe('content', () => {
  test('no composition rules: letters alone, spaces anywhere', () => {
    expect(code('violet kettle gravel')).toBeUndefined();
    expect(code('  correct horse battery  ')).toBeUndefined();
  });

  test('common passwords are refused, in whatever case', () => {
    for (const password of ['passwordpassword', '123456789012345', 'qwertyuiopasdfgh', 'QwertyUiopAsdfgh']) {
      expect(code(password), password).toBe('password_common');
    }
  });

  test('the list has at least 3000 entries that the length rule lets pass', () => {
    expect(blocklist.size).toBeGreaterThanOrEqual(3000);
  });

  test('a known word inside a longer password is nothing bad', () => {
    expect(code('SecurePassword-xyz-123')).toBeUndefined();
    expect(code('gatehouse violet kettle')).toBeUndefined();
  });

  test.each([
    ['the service, repeated', 'gatehousegatehouse'],
    ['the service and digits', 'Gatehouse-2026-11-22'],
    ['the address, padded', '!!ada.lovelace@example.com!!'],
    ['the local part, repeated', 'adalovelace-adalovelace'],
    ['the local part and digits', 'ada.lovelace1234567'],
    ['the domain, repeated', 'example.com example.com'],
    ['its first label, repeated', 'exampleEXAMPLEexample'],
  ])('context: %s', (_, password) => {
    expect(code(password, 'ada.lovelace@example.com')).toBe('password_predictable');
  });
});

test('the minimum follows the configuration', () => {
  const shorter = Object.assign(new Config(), { passwordMinLength: 12 });
  const relaxed = new PasswordPolicy(shorter, new PasswordBlocklist(shorter));
  expect(relaxed.problem('violetkettle', 'ada@example.com')).toBeUndefined();
  expect(relaxed.problem('violetkettl', 'ada@example.com')?.code).toBe('password_too_short');
  expect(relaxed.problem('123456789012', 'ada@example.com')?.code).toBe('password_common');
});
