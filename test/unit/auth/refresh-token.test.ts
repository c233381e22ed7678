// Proves ASVS 7.2.2, ASVS 7.2.3, ASVS 11.5.1: refresh tokens: 256 bits, for one session and one generation, new at every use
import { expect, test } from 'vitest';
import { RefreshTokens } from '../../../src/auth/refresh-token.js';
import { MasterKeys } from '../../../src/common/master-keys.js';

const tokens = new RefreshTokens(new MasterKeys([Buffer.alloc(32, 1)]));
const session = { id: '01a203e0-390a-7649-97dc-7d3f8c9bf560', seed: 'c2VlZA' };

test('a generation has one token, made again the same', () => {
  expect(tokens.mint(session, 3)).toBe(tokens.mint(session, 3));
  expect(tokens.mint(session, 3)).toMatch(/^01a203e0-390a-7649-97dc-7d3f8c9bf560\.3\.[\w-]{43}$/);
});

test('what was minted parses and is authentic, for its session and generation alone', () => {
  const parsed = tokens.parse(tokens.mint(session, 3));
  expect(parsed).toMatchObject({ sessionId: session.id, generation: 3 });
  expect(tokens.isAuthentic(session, parsed!)).toBe(true);
  expect(tokens.isAuthentic({ seed: 'other' }, parsed!)).toBe(false);
  expect(tokens.isAuthentic(session, { ...parsed!, generation: 4 })).toBe(false);
});

test('seed and generation cannot be shifted into each other', () => {
  const one = tokens.parse(tokens.mint({ ...session, seed: 'abc.1' }, 2));
  expect(tokens.isAuthentic({ seed: 'abc' }, { ...one!, generation: 12 })).toBe(false);
});

test('10,000 sessions have 10,000 tokens', () => {
  const all = new Set(
    Array.from({ length: 10_000 }, (_, i) => tokens.mint({ ...session, seed: String(i) }, 0).split('.')[2]),
  );
  expect(all.size).toBe(10_000);
});
