import { describe, expect, test } from 'vitest';
import { JWKS_MAX_AGE_SECONDS, KEPT_SECONDS, livesOf, PUBLISHED_SECONDS } from '../../../src/tokens/key-life.js';

const START = Date.UTC(2026, 10, 1);
/** The instant so many milliseconds after the first key began to sign. */
const at = (ms: number) => new Date(START + ms);
const DAY = 86_400_000;
const MINUTE = 60_000;
const key = (activates: number, revoked?: number) => ({
  activatesAt: at(activates),
  revokedAt: revoked === undefined ? null : at(revoked),
});
const statesOf = (keys: ReturnType<typeof key>[], now: number) => livesOf(keys, at(now)).map(({ state }) => state);

// Proves ASVS 11.1.1, ASVS 13.3.4: a signing key is published fifteen minutes before it signs, turned by time, and kept for as long as a token lives
test('a key is published for as long as a cache and a verifier behind it may keep the set, and kept for as long as a token lives, and a minute', () => {
  expect(PUBLISHED_SECONDS).toBe(JWKS_MAX_AGE_SECONDS + 600);
  expect(PUBLISHED_SECONDS).toBe(900);
  expect(KEPT_SECONDS).toBe(960);
});

// Proves ours (Issuing tokens): at any instant one key signs, and no more than one
describe('two keys, the second after thirty days', () => {
  const keys = [key(0), key(30 * DAY)];

  test.each([
    [0, ['active', 'next']],
    [30 * DAY - 1, ['active', 'next']],
    [30 * DAY, ['retired', 'active']],
    [30 * DAY + 16 * MINUTE - 1, ['retired', 'active']],
    [30 * DAY + 16 * MINUTE, ['gone', 'active']],
    [-1, ['next', 'next']],
  ])('at %i ms: %j', (now, states) => expect(statesOf(keys, now)).toEqual(states));

  test('the first retires when the second signs, and is gone sixteen minutes later; the second does neither', () => {
    expect(livesOf(keys, at(0))).toEqual([
      { state: 'active', retiresAt: at(30 * DAY), goneAt: at(30 * DAY + 16 * MINUTE) },
      { state: 'next', retiresAt: null, goneAt: null },
    ]);
  });
});

describe('a revoked key', () => {
  test('that has signed leaves the one before it retired', () => {
    expect(statesOf([key(0), key(10), key(40 * DAY, 20)], 30)).toEqual(['retired', 'active', 'revoked']);
    expect(statesOf([key(0), key(10, 20)], 30)).toEqual(['retired', 'revoked']);
    expect(statesOf([key(0), key(10, 20), key(20)], 20)).toEqual(['retired', 'revoked', 'active']);
  });

  test('that has never signed takes nobody’s place, at its own instant neither', () => {
    const keys = [key(0), key(50, 20), key(60)];
    expect(statesOf(keys, 50)).toEqual(['active', 'revoked', 'next']);
    expect(statesOf(keys, 60)).toEqual(['retired', 'revoked', 'active']);
    expect(livesOf(keys, at(50))[1]).toEqual({ state: 'revoked', retiresAt: at(20), goneAt: at(20) });
  });
});

test('whatever the instants, one key signs at most', () => {
  for (let round = 0; round < 200; round++) {
    const random = () => Math.floor(Math.random() * 20);
    const keys = Array.from({ length: 5 }, () => key(random(), Math.random() < 0.3 ? random() : undefined));
    for (let now = 0; now <= 20; now++) {
      expect(statesOf(keys, now).filter((state) => state === 'active').length).toBeLessThanOrEqual(1);
    }
  }
});
