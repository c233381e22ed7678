import { describe, expect, test } from 'vitest';
import { applyPage } from '../../../src/verifier/feed-page.js';
import { KeySet } from '../../../src/verifier/key-set.js';
import { RememberedTokens } from '../../../src/verifier/remembered-tokens.js';
import type { AccessTokenClaims } from '../../../src/verifier/result.js';
import { Revocations } from '../../../src/verifier/revocations.js';
import type { AuthenticToken } from '../../../src/verifier/token-check.js';
import { stubKey } from '../../support/feed-stub.js';

describe('remembered tokens', () => {
  const authentic = () => ({}) as AuthenticToken;

  test('the last ones stay, and there are never more than twice as many', () => {
    const remembered = new RememberedTokens(100);
    const tokens = Array.from({ length: 1_000 }, (_, i) => `token ${i}`);
    for (const token of tokens) remembered.set(token, authentic());
    expect(tokens.slice(-100).every((token) => remembered.get(token))).toBe(true);
    expect(tokens.filter((token) => remembered.get(token)).length).toBeLessThanOrEqual(200);
  });

  test('one that is used stays, whatever comes besides', () => {
    const remembered = new RememberedTokens(100);
    const used = authentic();
    remembered.set('used', used);
    for (let i = 0; i < 1_000; i += 1) {
      remembered.set(`token ${i}`, authentic());
      expect(remembered.get('used')).toBe(used);
    }
  });
});

describe('revocations', () => {
  const claims = { sid: 'session', sub: 'user', iat: 1_000 } as AccessTokenClaims;
  const entry = { kind: 'sid', value: 'session', expiresAt: 2_000, notBefore: 0 } as const;

  test('what has expired is forgotten, but not at once: the clock may be set back', () => {
    const revocations = new Revocations();
    revocations.add(entry);
    revocations.add({ ...entry, kind: 'sub', value: 'user', notBefore: 1_001 });
    revocations.sweep(2_064);
    expect(revocations.size).toBe(2);
    expect(revocations.has(claims, 2_064)).toBe(false);
    expect(revocations.has(claims, 2_004)).toBe(true);
    revocations.sweep(2_065 + 60);
    expect(revocations.size).toBe(0);
  });

  test('of two entries the one that says more counts, whichever came first', () => {
    const revocations = new Revocations();
    revocations.add(entry);
    revocations.add({ ...entry, expiresAt: 1_500 });
    expect(revocations.has(claims, 1_999)).toBe(true);
  });
});

describe('keys', () => {
  test('a JWKS that is none, or has no key for us, leaves what was there', () => {
    const keys = new KeySet();
    keys.replace({ keys: [stubKey('one').jwk] }, 0);
    for (const wrong of [null, 'x', {}, { keys: {} }, { keys: [] }, { keys: [null, 1, { kty: 'RSA', kid: 'one' }] }]) {
      expect(() => keys.replace(wrong, 0)).toThrow();
    }
    expect(keys.get('one')).toBeDefined();
  });

  test('a key that is still the same is the same object', () => {
    const keys = new KeySet();
    const [one, two] = [stubKey('one'), stubKey('two')];
    keys.replace({ keys: [one.jwk, two.jwk] }, 0);
    const before = [keys.get('one'), keys.get('two')];
    keys.replace({ keys: [one.jwk, { ...stubKey('two').jwk }] }, 0);
    expect(keys.get('one')).toBe(before[0]);
    expect(keys.get('two')).not.toBe(before[1]);
  });

  test('a compromised key is forgotten when it has expired and the JWKS does not list it', () => {
    const keys = new KeySet();
    const [one, two] = [stubKey('one'), stubKey('two')];
    keys.replace({ keys: [one.jwk, two.jwk] }, 0);
    keys.revoke('one', 100);
    keys.replace({ keys: [one.jwk, two.jwk] }, 200);
    expect([keys.isRevoked('one'), keys.get('one')]).toEqual([true, undefined]);
    keys.replace({ keys: [two.jwk] }, 100);
    expect(keys.isRevoked('one')).toBe(true);
    keys.replace({ keys: [two.jwk] }, 101);
    expect(keys.isRevoked('one')).toBe(false);
  });

  test('everything that is live replaces the compromised keys, but not those that the JWKS lists', () => {
    const keys = new KeySet();
    keys.replace({ keys: [stubKey('one').jwk] }, 0);
    keys.revoke('one', 100);
    keys.revoke('gone', 100);
    keys.revoke('named', 100);
    const entry = { kind: 'kid', value: 'named', expiresAt: 100, notBefore: 0 } as const;
    const page = { cursor: { epoch: 'epoch--1', position: 1 }, asOf: 0, isFull: true, entries: [entry] };
    expect(applyPage({ ...page, isFull: false }, keys, new Revocations(), 0)).toEqual([]);
    expect(['one', 'gone', 'named'].map((kid) => keys.isRevoked(kid))).toEqual([true, true, true]);
    expect(applyPage(page, keys, new Revocations(), 0)).toEqual([]);
    expect(['one', 'gone', 'named'].map((kid) => keys.isRevoked(kid))).toEqual([true, false, true]);
  });
});
