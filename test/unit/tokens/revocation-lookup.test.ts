import { describe, expect, test } from 'vitest';
import { Metrics } from '../../../src/metrics/metrics.js';
import { RevocationLookup } from '../../../src/tokens/revocation-lookup.js';
import type { RevocableToken, RevocationRepository } from '../../../src/tokens/revocation.repository.js';

/** A repository whose answers the test gives by hand, one query after the other. */
function controlled() {
  const queries: { values: string[]; answer: (revoked: string[]) => void; fail: (error: Error) => void }[] = [];
  const repository = {
    findRevoked: (tokens: readonly RevocableToken[]) =>
      new Promise<boolean[]>((resolve, reject) => {
        const values = tokens.map(({ sid }) => sid);
        const answer = (revoked: string[]) => resolve(values.map((sid) => revoked.includes(sid)));
        queries.push({ values, answer, fail: reject });
      }),
  };
  return { queries, lookup: new RevocationLookup(repository as unknown as RevocationRepository, new Metrics()) };
}

const tokenOf = (sid: string): RevocableToken => ({ sid, sub: 'ada', iat: 1, kid: 'key' });
/** Until what waits has been asked: a whole turn of the event loop. */
const tick = async () => {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('lookups', () => {
  test('that wait together travel in one query, and each gets its own answer', async () => {
    const { queries, lookup } = controlled();
    const answers = Promise.all(['a', 'b', 'c', 'b'].map((id) => lookup.isRevoked(tokenOf(id))));
    await tick();
    expect(queries).toHaveLength(1);
    queries[0]!.answer(['b']);
    expect(await answers).toEqual([false, true, false, true]);
  });

  // Proves ours (Sessions): no lookup is answered by an earlier one
  test('never join a query that is under way: the next starts when it has come back', async () => {
    const { queries, lookup } = controlled();
    const early = lookup.isRevoked(tokenOf('a'));
    await tick();
    const late = Promise.all([lookup.isRevoked(tokenOf('a')), lookup.isRevoked(tokenOf('b'))]);
    await tick();
    expect(queries.map(({ values }) => values)).toEqual([['a']]);
    queries[0]!.answer([]);
    expect(await early).toBe(false);
    await tick();
    expect(queries.map(({ values }) => values)).toEqual([['a'], ['a', 'b']]);
    queries[1]!.answer(['a']);
    expect(await late).toEqual([true, false]);
  });

  // Proves ours (Sessions): no lookup is answered by an earlier one
  test('remember nothing', async () => {
    const { queries, lookup } = controlled();
    for (const revoked of [[], ['a']]) {
      const answer = lookup.isRevoked(tokenOf('a'));
      await tick();
      queries.at(-1)!.answer(revoked);
      expect(await answer).toBe(revoked.length > 0);
    }
  });

  // Proves ASVS 16.5.2, ASVS 16.5.3: a database out of reach means 503, never yes and never no
  test('fail together as unavailable, and the next one asks again', async () => {
    const { queries, lookup } = controlled();
    const failing = Promise.allSettled([lookup.isRevoked(tokenOf('a')), lookup.isRevoked(tokenOf('b'))]);
    await tick();
    queries[0]!.fail(new Error('gone'));
    for (const result of await failing) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { kind: 'unavailable', detail: 'revocation_lookup' },
      });
    }
    const next = lookup.isRevoked(tokenOf('a'));
    await tick();
    queries[1]!.answer([]);
    expect(await next).toBe(false);
  });

  test('beyond 500 at once become further queries, one after the other', async () => {
    const { queries, lookup } = controlled();
    const answers = Promise.all(Array.from({ length: 1200 }, (_, i) => lookup.isRevoked(tokenOf(String(i)))));
    for (let i = 0; i < 3; i++) {
      await tick();
      expect(queries).toHaveLength(i + 1);
      queries[i]!.answer(['7']);
    }
    expect(queries.map(({ values }) => values.length)).toEqual([500, 500, 200]);
    expect((await answers).filter(Boolean)).toHaveLength(1);
  });
});
