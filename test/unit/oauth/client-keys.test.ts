import { expect, test } from 'vitest';
import { publicKeysOf } from '../../../src/oauth/client-keys.js';
import { keyPair } from '../../support/key-pair.js';

const jwk = (type: string, options: object = {}) => keyPair(type, options).publicKey.export({ format: 'jwk' });
const set = (...keys: unknown[]) => JSON.stringify({ keys, more: 'of it' });

test('keys that an assertion may be signed with are taken, and nothing else of the set', () => {
  for (const key of [
    jwk('ec', { namedCurve: 'P-256' }),
    jwk('ec', { namedCurve: 'P-384' }),
    jwk('rsa', { modulusLength: 3072 }),
    jwk('ed25519'),
  ]) {
    expect(publicKeysOf(set(key))).toBe(JSON.stringify({ keys: [key] }));
  }
});

test('everything else is refused', () => {
  const good = jwk('ec', { namedCurve: 'P-256' });
  for (const text of [
    '',
    'x',
    '[]',
    '{}',
    set(),
    set(null),
    set('x'),
    set({ ...good, d: 'x' }),
    set({ ...good, x: 'x' }),
    set({ kty: 'oct', k: 'c2VjcmV0' }),
    set(good, { kty: 'EC' }),
    set(...Array.from({ length: 11 }, () => good)),
    set({ ...good, x5c: ['x'.repeat(9_000)] }),
    set(jwk('rsa', { modulusLength: 2048 })),
    set(jwk('ec', { namedCurve: 'secp256k1' })),
  ]) {
    expect(publicKeysOf(text), text.slice(0, 80)).toBeUndefined();
  }
});
