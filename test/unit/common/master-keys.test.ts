import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { MasterKeys } from '../../../src/common/master-keys.js';

const older = Buffer.alloc(32, 1);
const newer = Buffer.alloc(32, 2);

describe('sealing', () => {
  const keys = new MasterKeys([older]);
  const sealed = keys.seal('password-pepper', '$2b$12$secret', 'user-1');

  test('opens for the same purpose and context', () => {
    expect(keys.open('password-pepper', sealed, 'user-1')).toBe('$2b$12$secret');
  });

  // Proves ASVS 11.3.3: what is sealed opens unchanged, in its place and for its purpose, or not at all
  test('does not open elsewhere: other context, other purpose, other key', () => {
    expect(keys.open('password-pepper', sealed, 'user-2')).toBeUndefined();
    expect(keys.open('signing-key-encryption', sealed, 'user-1')).toBeUndefined();
    expect(new MasterKeys([newer]).open('password-pepper', sealed, 'user-1')).toBeUndefined();
  });

  // Proves ASVS 11.3.3: what is sealed opens unchanged, in its place and for its purpose, or not at all
  test('does not open when any byte was changed, or it was cut', () => {
    const [id, payload] = sealed.split('.') as [string, string];
    const bytes = Buffer.from(payload, 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] as number) ^ 1;
      expect(keys.open('password-pepper', `${id}.${changed.toString('base64url')}`, 'user-1')).toBeUndefined();
    }
    for (const cut of ['', 'x', id, `${id}.`, `${id}.${payload.slice(0, 20)}`]) {
      expect(keys.open('password-pepper', cut, 'user-1')).toBeUndefined();
    }
  });

  test('goes to the newest key and stays what it is; what is there already, or opens under none, is left alone', () => {
    const both = new MasterKeys([newer, older]);
    const resealed = both.reseal('password-pepper', sealed, 'user-1');
    const { sealed: again } = resealed as { sealed: string };
    expect(new MasterKeys([newer]).open('password-pepper', again, 'user-1')).toBe('$2b$12$secret');
    expect(both.reseal('password-pepper', again, 'user-1')).toBe('newest');
    expect(both.reseal('password-pepper', sealed, 'user-2')).toBe('unopenable');
    expect(new MasterKeys([newer]).reseal('password-pepper', sealed, 'user-1')).toBe('unopenable');
    expect([both, new MasterKeys([newer])].map((one) => one.isKnown(sealed))).toEqual([true, false]);
  });

  test('never gives the same text twice', () => {
    expect(keys.seal('password-pepper', 'x', 'y')).not.toBe(keys.seal('password-pepper', 'x', 'y'));
  });

  // Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
  test('a new master key in front seals, the old one still opens', () => {
    const both = new MasterKeys([newer, older]);
    expect(both.open('password-pepper', sealed, 'user-1')).toBe('$2b$12$secret');
    expect(both.isNewest(sealed)).toBe(false);
    expect(both.isNewest(both.seal('password-pepper', 'x', 'y'))).toBe(true);
  });
});

describe('macs', () => {
  test('are HMAC-SHA-256 under a key derived by HKDF-SHA-256 (known answer by node:crypto itself)', () => {
    const derived = Buffer.from(hkdfSync('sha256', older, Buffer.alloc(0), 'gatehouse/v1/refresh-token', 32));
    const expected = createHmac('sha256', derived).update('data').digest('hex');
    const mac = new MasterKeys([older]).mac('refresh-token', Buffer.from('data'));
    expect(mac.toString('hex')).toBe(expected);
    // Computed once; a change of label or hash would make every refresh token in the field invalid.
    expect(expected).toBe(KNOWN_MAC);
  });

  // Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
  test('verify under every key of the list, and no other', () => {
    const data = randomBytes(20);
    const mac = new MasterKeys([older]).mac('refresh-token', data);
    expect(new MasterKeys([newer, older]).verifyMac('refresh-token', data, mac)).toBe(true);
    expect(new MasterKeys([newer, older]).macs('refresh-token', data)[1]).toEqual(mac);
    expect(new MasterKeys([newer]).verifyMac('refresh-token', data, mac)).toBe(false);
    expect(new MasterKeys([older]).verifyMac('refresh-token', data, mac.subarray(1))).toBe(false);
    expect(new MasterKeys([older]).verifyMac('refresh-token', Buffer.from('other'), mac)).toBe(false);
  });
});

const KNOWN_MAC = '45d8ed4552f82c41d028eef05fffa271bb4946cc9e5d02a7ccb781d4b14c970a';
