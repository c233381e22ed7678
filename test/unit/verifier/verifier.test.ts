import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  createVerifier,
  type Verifier,
  type VerifierEvent,
  type VerifierOptions,
} from '../../../src/verifier/verifier.js';
import { FeedStub, stubKey } from '../../support/feed-stub.js';

let stub: FeedStub;
/** The verifier's clock, in milliseconds since the epoch. */
let now: number;
let open: Verifier[];
let events: VerifierEvent[];

beforeEach(async () => {
  stub = await FeedStub.start();
  stub.secondMs = 2_000; // so that a quiet feed is quiet, also on a slow machine
  now = stub.now;
  open = [];
  events = [];
});

afterEach(async () => {
  await Promise.all(open.map((verifier) => verifier.close()));
  await stub.close();
});

function make(options: Partial<VerifierOptions> = {}): Verifier {
  const onEvent = (event: VerifierEvent) => events.push(event);
  const verifier = createVerifier({
    issuer: stub.url,
    audience: 'api',
    ...stub.id,
    clock: () => now,
    onEvent,
    ...options,
  });
  open.push(verifier);
  return verifier;
}

async function ready(options?: Partial<VerifierOptions>): Promise<Verifier> {
  const verifier = make(options);
  await verifier.ready();
  return verifier;
}

const refused = (reason: string) => ({ ok: false, reason });
const named = <N extends VerifierEvent['name']>(name: N) =>
  events.filter((event): event is Extract<VerifierEvent, { name: N }> => event.name === name);
const until = (condition: () => unknown) =>
  vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 5_000, interval: 5 });
const feedRequests = () => stub.to('/oauth/revocations');
const keyRequests = () => stub.to('/.well-known/jwks.json');

describe('the first sync', () => {
  test('before it nothing is accepted, after it a good token is', async () => {
    const verifier = make();
    const token = await stub.token();
    expect(verifier.cursor).toBeUndefined();
    expect(verifier.stalenessMs()).toBe(Infinity);
    const early = createVerifier({ issuer: 'http://127.0.0.1:9', audience: 'api', ...stub.id });
    open.push(early);
    expect(await early.verify(token)).toEqual(refused('not_ready'));
    await verifier.ready();
    const result = await verifier.verify(token);
    expect(result).toMatchObject({ ok: true, claims: { sub: 'user-1', sid: 'session-1' } });
    expect(result.ok && result.stalenessMs).toBeLessThan(5_000);
    expect(verifier.cursor).toBe(stub.cursor);
    expect(named('ready')).toEqual([{ name: 'ready', cursor: stub.cursor }]);
  });

  test('what was revoked before it is known after it', async () => {
    stub.revoke('sid', 'session-1');
    stub.revoke('sub', 'user-2', { not_before: now / 1000 + 1 });
    const verifier = await ready();
    expect(await verifier.verify(await stub.token())).toEqual(refused('revoked'));
    expect(await verifier.verify(await stub.token({ sid: 'session-2' }))).toMatchObject({ ok: true });
    expect(await verifier.verify(await stub.token({ sub: 'user-2', sid: 'session-3' }))).toEqual(refused('revoked'));
  });

  test('goes on until Gatehouse is there', async () => {
    stub.cut();
    const verifier = make();
    const whenReady = verifier.ready();
    await until(() => named('feed_failed').length >= 2);
    expect(await verifier.verify(await stub.token())).toEqual(refused('not_ready'));
    stub.mend();
    await whenReady;
    expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
  });

  test('a wrong secret is told at once, and tried seldom', async () => {
    const verifier = make({ clientSecret: 'wrong' });
    await expect(verifier.ready()).rejects.toMatchObject({ code: 'invalid_client' });
    await expect(verifier.ready()).rejects.toMatchObject({ code: 'invalid_client' });
    expect(named('feed_failed')).toMatchObject([{ reason: 'invalid_client' }]);
    expect(named('feed_failed')[0]?.retryInMs).toBeGreaterThanOrEqual(24_000);
    expect(JSON.stringify(events)).not.toContain('wrong');
    expect(await verifier.verify(await stub.token())).toEqual(refused('not_ready'));
  });

  test('ready gives up after the time it is given, and says what was wrong', async () => {
    stub.intercept = (_, response) => Boolean(response.writeHead(500).end());
    const verifier = make();
    await expect(verifier.ready({ timeoutMs: 500 })).rejects.toThrow(/no sync in 500 ms: keys/);
    stub.mend();
    await verifier.ready();
  });

  test.each([
    ['another issuer', async () => stub.signed({ ...stub.page(), issuer: 'http://other.example' })],
    ['a token instead of an answer', async () => stub.token()],
    ['the typ of a token', async () => stub.signed(stub.page(), { typ: 'at+jwt' })],
    ['as_of 61 s off', async () => stub.signed({ ...stub.page(), as_of: now / 1000 - 61 })],
    ['news without a beginning', async () => stub.signed({ ...stub.page(), full: false })],
    [
      'a kind that nobody knows',
      async () => stub.signed({ ...stub.page(), entries: [{ kind: 'jti', value: 'x', expires_at: 1 }] }),
    ],
  ])('is not made of an answer with %s', async (_, answer) => {
    stub.intercept = async (request, response) =>
      request.url?.startsWith('/oauth/revocations') ? Boolean(response.end(await answer())) : false;
    const verifier = make();
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'refused' });
    expect(await verifier.verify(await stub.token())).toEqual(refused('not_ready'));
  });

  test('is not made of an answer that another key has signed under the name of ours', async () => {
    stub.signer = stubKey('key-1');
    const verifier = make();
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'refused', detail: 'signature' });
    expect(verifier.cursor).toBeUndefined();
  });
});

describe('following', () => {
  test('news wakes the long poll, and goes on from the cursor', async () => {
    const verifier = await ready();
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    const before = verifier.cursor;
    stub.revoke('sid', 'session-1');
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toEqual(refused('revoked'));
    expect(feedRequests()[1]?.query.get('since')).toBe(before);
    expect(feedRequests()[1]?.query.get('wait')).toBe('1');
    await until(() => feedRequests().length >= 3);
    expect(feedRequests()[2]?.query.get('since')).toBe(verifier.cursor);
  });

  test('goes on from the cursor after the feed was broken', async () => {
    stub.revoke('sid', 'session-0');
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    const before = verifier.cursor as string;
    const count = feedRequests().length;
    stub.cut();
    stub.revoke('sid', 'session-1');
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'unreachable' });
    stub.mend();
    await until(() => verifier.cursor === stub.cursor);
    expect(feedRequests()[count]?.query.get('since')).toBe(before);
    expect(named('feed_recovered')).toEqual([{ name: 'feed_recovered', cursor: stub.cursor }]);
    expect(await verifier.verify(await stub.token())).toEqual(refused('revoked'));
    expect(await verifier.verify(await stub.token({ sid: 'session-0' }))).toEqual(refused('revoked'));
  });

  test('a full answer replaces what is known', async () => {
    stub.revoke('sid', 'session-1');
    const verifier = await ready();
    const token = await stub.token();
    expect(await verifier.verify(token)).toEqual(refused('revoked'));
    await until(() => stub.isWaitedFor);
    // The server has forgotten the entry, and so much else that our cursor is too old.
    stub.floor = 100;
    stub.entries = [];
    stub.revoke('sid', 'session-2');
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    expect(await verifier.verify(await stub.token({ sid: 'session-2' }))).toEqual(refused('revoked'));
  });

  test('another epoch begins anew, at whatever position', async () => {
    stub.floor = 500;
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    stub.epoch = 'epoch--2';
    stub.floor = 0;
    stub.revoke('sid', 'session-1');
    await until(() => verifier.cursor === 'epoch--2.1');
    expect(await verifier.verify(await stub.token())).toEqual(refused('revoked'));
    expect(named('feed_failed')).toEqual([]);
  });

  test('an answer from before, played again, is refused: its cursor goes back', async () => {
    const old = await stub.signed(stub.page());
    stub.revoke('sid', 'session-1');
    const verifier = await ready();
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    replay(() => old);
    stub.revoke('sid', 'session-2');
    await until(() => named('feed_failed').some(({ detail }) => detail === 'the cursor goes back'));
    expect(await verifier.verify(token)).toEqual(refused('not_ready'));
    await until(() => named('feed_failed').some(({ detail }) => detail === 'as_of goes back'));
    expect(await verifier.verify(token)).toEqual(refused('not_ready'));
    stub.now += 1_000;
    stub.mend();
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toEqual(refused('revoked'));
  });

  test('a feed that goes back is another one: what is known of it is forgotten, and everything asked for', async () => {
    for (const user of ['a', 'b', 'c']) stub.revoke('sid', user);
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    const token = await stub.token();
    const count = feedRequests().length;
    stub.entries.length = 1; // its database was restored from a backup
    stub.now += 1_000;
    stub.revoke('sid', 'session-1');
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'refused', detail: 'the cursor goes back' });
    expect(await verifier.verify(token, { minCursor: `${stub.epoch}.2` })).toEqual(refused('not_ready'));
    expect([verifier.cursor, verifier.stalenessMs()]).toEqual([undefined, Infinity]);
    stub.now += 1_000;
    await until(() => verifier.cursor === stub.cursor);
    expect(feedRequests()[count]?.query.has('since')).toBe(false);
    expect(await verifier.verify(token)).toEqual(refused('revoked'));
    expect(await verifier.verify(await stub.token({ sid: 'b' }))).toMatchObject({ ok: true });
  });

  test.each([
    ['no question', () => ({})],
    ['another question', () => ({ since: `${stub.epoch}.0` })],
  ])('news that is the answer to %s is refused', async (_, header) => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    replay(() => stub.signed({ ...stub.page(verifier.cursor), cursor: `${stub.epoch}.9` }, header()));
    stub.revoke('sid', 'somebody');
    await until(() => named('feed_failed').some(({ detail }) => detail === 'not what was asked'));
    expect(verifier.cursor).toBe(stub.cursor);
  });

  test('a token that has expired by the clock of the server is expired: its entry is told no more', async () => {
    stub.revoke('sid', 'session-1');
    const verifier = await ready();
    const token = await stub.token({ exp: now / 1000 + 60 });
    expect(await verifier.verify(token)).toEqual(refused('revoked'));
    await until(() => stub.isWaitedFor);
    stub.now += 60_000; // ours is so slow
    stub.floor = 100;
    stub.entries = [];
    stub.revoke('sid', 'somebody');
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toEqual(refused('expired'));
    expect(await verifier.verify(await stub.token({ exp: now / 1000 + 61, iat: now / 1000 }))).toMatchObject({
      ok: true,
    });
  });

  test('an answer from before does not make us fresh either: its as_of goes back', async () => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    replay(() => stub.signed({ ...stub.page(verifier.cursor), as_of: now / 1000 - 6 }, { since: verifier.cursor }));
    stub.revoke('sid', 'somebody');
    await until(() => named('feed_failed').some(({ detail }) => detail === 'as_of goes back'));
    const token = await stub.token();
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    now += 4_000;
    expect(await verifier.verify(token)).toEqual(refused('stale'));
  });

  test('an answer of another instance may be a little older', async () => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    stub.now -= 2_000;
    stub.revoke('sid', 'session-1');
    await until(() => verifier.cursor === stub.cursor);
    expect(named('feed_failed')).toEqual([]);
  });

  test('a server that does not wait is not asked without end', async () => {
    stub.secondMs = 0;
    await ready();
    const before = performance.now();
    const count = feedRequests().length;
    await until(() => feedRequests().length >= count + 3);
    expect(performance.now() - before).toBeGreaterThan(450);
  });

  test('Retry-After is honoured', async () => {
    await ready();
    await until(() => stub.isWaitedFor);
    stub.intercept = (_, response) => Boolean(response.writeHead(503, { 'retry-after': '20' }).end());
    stub.revoke('sid', 'session-1');
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'status', detail: 'status 503' });
    expect(named('feed_failed')[0]?.retryInMs).toBeGreaterThanOrEqual(20_000);
  });

  test.each([
    ['no answer', () => true],
    [
      'an answer that does not end',
      (_: IncomingMessage, response: ServerResponse) => Boolean(response.writeHead(200).write('e')),
    ],
  ])('a connection that is dead is given up, and another tried, before tokens are refused: %s', async (_, hang) => {
    stub.secondMs = 1_000;
    stub.now = Date.now();
    const verifier = await ready({ clock: Date.now });
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    let isHung = false;
    stub.intercept = (request, response) => {
      stub.now = Date.now();
      if (isHung) return false;
      isHung = true;
      return hang(request, response);
    };
    stub.revoke('sid', 'somebody');
    const before = performance.now();
    while (named('feed_recovered').length === 0 && performance.now() - before < 8_000) {
      expect(await verifier.verify(token)).toMatchObject({ ok: true });
      await sleep(5);
    }
    expect(named('feed_failed')).toMatchObject([{ reason: 'unreachable' }]);
    expect(named('feed_recovered')).toHaveLength(1);
  });

  test('one 401 after a sync that worked is tried again soon; many are not', async () => {
    await ready();
    await until(() => stub.isWaitedFor);
    stub.intercept = (_, response) => Boolean(response.writeHead(401).end());
    stub.revoke('sid', 'somebody');
    await until(() => named('feed_failed').length > 0);
    expect(named('feed_failed')[0]).toMatchObject({ reason: 'invalid_client' });
    expect(named('feed_failed')[0]?.retryInMs).toBeLessThanOrEqual(250);
    await vi.waitFor(() => expect(named('feed_failed')).toHaveLength(6), { timeout: 30_000 });
    expect(named('feed_failed')[4]?.retryInMs).toBeLessThanOrEqual(4_000);
    expect(named('feed_failed')[5]?.retryInMs).toBeGreaterThanOrEqual(24_000);
  });

  test('an answer that does not come is given up', async () => {
    const verifier = await ready({ timeoutMs: 100, maxStalenessMs: 2_000 });
    stub.intercept = () => true;
    await until(() =>
      named('feed_failed').some(({ reason, detail }) => reason === 'unreachable' && detail === 'no answer in 100 ms'),
    );
    expect(verifier.cursor).toBe(stub.cursor);
  });

  /** What the feed answers from the next request on. */
  function replay(answer: () => string | Promise<string>): void {
    stub.intercept = async (request, response) =>
      request.url?.startsWith('/oauth/revocations') ? Boolean(response.end(await answer())) : false;
  }
});

describe('staleness', () => {
  /** From here on nothing is heard. The request that is answered last was sent when the clock said `now`. */
  async function cutOff(options: Partial<VerifierOptions> = {}) {
    const verifier = await ready(options);
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    stub.cut();
    await until(() => named('feed_failed').length > 0);
    return { verifier, token };
  }

  test('accepts in the last millisecond, refuses from the first stale one on', async () => {
    const { verifier, token } = await cutOff();
    const start = now;
    now = start + 5_000 - 1_000 - 1; // the server's own second counts
    expect(await verifier.verify(token)).toMatchObject({ ok: true, stalenessMs: 4_999 });
    now = start + 5_000 - 1_000;
    expect(await verifier.verify(token)).toEqual(refused('stale'));
    expect(await verifier.verify(await stub.token())).toEqual(refused('stale'));
  });

  test('the monotonic clock counts, whatever the other one says', async () => {
    const { verifier } = await cutOff();
    now -= 60_000;
    stub.now = now;
    const token = await stub.token();
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    const uptime = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => uptime() + 4_000);
    onTestFinished(() => clock.mockRestore());
    expect(await verifier.verify(token)).toEqual(refused('stale'));
  });

  test('counts from before the request was sent: an answer may be long on its way', async () => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    now += 2_000; // while one is under way
    stub.revoke('sid', 'somebody');
    await until(() => verifier.cursor === stub.cursor);
    expect(verifier.stalenessMs()).toBeGreaterThanOrEqual(3_000);
  });

  test('is over with the next answer', async () => {
    const { verifier, token } = await cutOff();
    now += 10_000;
    stub.now = now;
    expect(await verifier.verify(token)).toEqual(refused('stale'));
    stub.mend();
    await vi.waitFor(async () => expect(await verifier.verify(token)).toMatchObject({ ok: true }), { timeout: 5_000 });
  });

  test('a token that is no good is refused for that, not for staleness', async () => {
    const { verifier } = await cutOff();
    const expired = await stub.token({ exp: now / 1000 + 3 });
    now += 10_000;
    expect(await verifier.verify(expired)).toEqual(refused('expired'));
    expect(await verifier.verify('x')).toEqual(refused('malformed'));
  });

  describe('with introspection', () => {
    /** Everything but the feed is answered. */
    function cutFeed(): void {
      stub.intercept = (request, response) =>
        request.url?.startsWith('/oauth/revocations') ? Boolean(response.writeHead(503).end()) : false;
    }

    async function stale(timeoutMs = 5_000) {
      const verifier = await ready({ onStale: 'introspect', timeoutMs });
      const token = await stub.token();
      await until(() => stub.isWaitedFor);
      cutFeed();
      stub.revoke('sid', 'somebody');
      await until(() => named('feed_failed').length > 0);
      expect(await verifier.verify(token)).toMatchObject({ ok: true });
      expect(stub.to('/oauth/introspect')).toEqual([]);
      now += 4_000;
      const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as object;
      return { verifier, token, claims };
    }

    test('asks about each token, and says how old the answer is', async () => {
      const { verifier, token, claims } = await stale();
      stub.introspect = (asked) =>
        asked === token ? { active: true, token_type: 'Bearer', ...claims } : { active: false };
      const result = await verifier.verify(token, { minCursor: 'anything.1' });
      expect(result).toMatchObject({ ok: true, claims });
      expect(result.ok && result.stalenessMs).toBeLessThan(1_000);
      await verifier.verify(token);
      expect(stub.to('/oauth/introspect')).toHaveLength(2);
      await verifier.verify(token, { minCursor: 'not reached, and nobody waits for it' });
      expect(stub.to('/oauth/introspect')).toHaveLength(3);
      stub.introspect = () => ({ active: false });
      expect(await verifier.verify(token)).toEqual(refused('inactive'));
    });

    test.each([
      ['a refresh token', { token_type: 'refresh_token' }],
      ['another user', { sub: 'user-2' }],
      ['another token', { jti: 'another' }],
      ['another session', { sid: 'another' }],
      ['another life', { exp: 1 }],
    ])('an answer about %s is no yes', async (_, other) => {
      const { verifier, token, claims } = await stale();
      stub.introspect = () => ({ active: true, token_type: 'Bearer', ...claims, ...other });
      expect(await verifier.verify(token)).toEqual(refused('inactive'));
    });

    test.each<[string, () => unknown, number?]>([
      ['an error', () => (stub.intercept = (_, response) => Boolean(response.writeHead(500).end('{"active":true}')))],
      ['not JSON', () => (stub.intercept = (_, response) => Boolean(response.end('active')))],
      ['an answer of another form', () => (stub.introspect = () => ({ active: 'true' }))],
      ['no answer', () => (stub.intercept = () => true), 1_000],
      ['no connection', () => stub.cut()],
    ])('%s is no yes', async (_, breakIt, timeoutMs) => {
      const { verifier, token } = await stale(timeoutMs);
      breakIt();
      expect(await verifier.verify(token)).toEqual(refused('unavailable'));
      expect(named('introspection_failed')).toHaveLength(1);
    });

    test('who has failed is left alone for a while, for as long as it says, and it is told once', async () => {
      const { verifier, token, claims } = await stale();
      const start = Math.ceil(performance.now());
      let later = 0; // no other time passes
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => start + later);
      onTestFinished(() => clock.mockRestore());
      stub.introspect = () => ({ active: true, token_type: 'Bearer', ...claims });
      const asked = () => stub.to('/oauth/introspect').length;
      for (const [headers, ms] of [
        [{}, 250],
        [{ 'retry-after': '7' }, 7_000],
        [{ 'retry-after': '100000' }, 60_000],
      ] as const) {
        const count = asked();
        stub.intercept = (_, response) => Boolean(response.writeHead(429, headers).end());
        const results = await Promise.all([1, 2, 3].map(() => verifier.verify(token)));
        expect(results).toEqual([1, 2, 3].map(() => refused('unavailable')));
        cutFeed();
        later += ms - 1;
        expect(await verifier.verify(token)).toEqual(refused('unavailable'));
        expect(asked()).toBe(count + 3);
        later += 1;
        expect(await verifier.verify(token)).toMatchObject({ ok: true });
      }
      expect(named('introspection_failed'), 'once a second at most').toHaveLength(2);
    });

    test('more than a hundred at once is told', async () => {
      const { verifier, token } = await stale();
      stub.intercept = () => true;
      const asking = Promise.all(Array.from({ length: 101 }, () => verifier.verify(token)));
      await until(() => stub.to('/oauth/introspect').length >= 100);
      expect(stub.to('/oauth/introspect')).toHaveLength(100);
      stub.cut();
      const results = await asking;
      expect(new Set(results.map((result) => !result.ok && result.reason))).toEqual(new Set(['unavailable']));
      expect(named('introspection_failed')[0]).toMatchObject({ detail: 'more than 100 at the same time' });
    });

    test('a yes that took too long is no yes', async () => {
      const { verifier, token, claims } = await stale();
      stub.introspect = () => {
        now += 5_000;
        return { active: true, token_type: 'Bearer', ...claims };
      };
      expect(await verifier.verify(token)).toEqual(refused('unavailable'));
    });

    test('a token that expires meanwhile is refused', async () => {
      const { verifier } = await stale();
      const iat = now / 1000;
      const token = await stub.token({ iat, exp: iat + 2 });
      const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as object;
      stub.introspect = () => {
        now += 2_000;
        return { active: true, token_type: 'Bearer', ...claims };
      };
      expect(await verifier.verify(token)).toEqual(refused('expired'));
    });

    test('asks about nothing that we can refuse ourselves', async () => {
      const { verifier } = await stale();
      const forged = await stub.token({}, stubKey('key-1'));
      expect(await verifier.verify(forged)).toEqual(refused('signature'));
      expect(stub.to('/oauth/introspect')).toEqual([]);
    });
  });
});

describe('minCursor', () => {
  test('what is reached already costs nothing', async () => {
    const verifier = await ready();
    stub.revoke('sid', 'another');
    await until(() => verifier.cursor === stub.cursor && stub.isWaitedFor);
    const count = stub.requests.length;
    expect(await verifier.verify(await stub.token(), { minCursor: `${stub.epoch}.0` })).toMatchObject({ ok: true });
    expect(await verifier.verify(await stub.token(), { minCursor: stub.cursor })).toMatchObject({ ok: true });
    expect(stub.requests).toHaveLength(count);
  });

  test('who is behind catches up first', async () => {
    stub.secondMs = 300;
    const verifier = await ready();
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    stub.entries.push({ kind: 'sid', value: 'session-1', expires_at: now / 1000 + 300 }); // and nobody was woken
    const count = stub.requests.length;
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    const results = await Promise.all([1, 2, 3].map(() => verifier.verify(token, { minCursor: stub.cursor })));
    expect(results).toEqual([refused('revoked'), refused('revoked'), refused('revoked')]);
    expect(stub.requests.length - count).toBeLessThanOrEqual(1);
  });

  test('across an epoch', async () => {
    stub.secondMs = 300;
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    stub.epoch = 'epoch--2';
    expect(await verifier.verify(await stub.token(), { minCursor: stub.cursor })).toMatchObject({ ok: true });
  });

  test('what is not reached in time is refused', async () => {
    const verifier = await ready({ catchUpMs: 50 });
    const token = await stub.token();
    expect(await verifier.verify(token, { minCursor: `${stub.epoch}.1` })).toEqual(refused('behind'));
    expect(await verifier.verify(token, { minCursor: `epoch--x.0` })).toEqual(refused('behind'));
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
  });

  test.each([
    '',
    'x',
    'epoch--1',
    'epoch--1.',
    'epoch--1.-1',
    'epoch--1.1e9',
    'epoch--1.1234567890123456',
    ' epoch--1.1',
  ])('what is no cursor is refused: %j', async (minCursor) => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    const count = stub.requests.length;
    expect(await verifier.verify(await stub.token(), { minCursor })).toEqual(refused('malformed_cursor'));
    expect(stub.requests).toHaveLength(count);
  });

  test('a thousand absurd cursors make no request', async () => {
    const verifier = await ready({ catchUpMs: 200 });
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    const count = stub.requests.length;
    const before = performance.now();
    const results = await Promise.all(
      Array.from({ length: 1_500 }, (_, i) => verifier.verify(token, { minCursor: `epoch--1.${9e14 - i}` })),
    );
    expect(new Set(results.map((result) => !result.ok && result.reason))).toEqual(new Set(['behind']));
    expect(stub.requests.length - count).toBeLessThanOrEqual(1);
    expect(performance.now() - before, 'nobody waits for what cannot come').toBeLessThan(10_000);
  });

  test('one session cannot keep the others from waiting', async () => {
    const verifier = await ready({ catchUpMs: 10_000 });
    const [token, other] = await Promise.all([stub.token(), stub.token({ sid: 'session-2' })]);
    await until(() => stub.isWaitedFor);
    const minCursor = `${stub.epoch}.1`;
    const flood = Array.from({ length: 1_500 }, () => verifier.verify(token, { minCursor }));
    const waiting = verifier.verify(other, { minCursor });
    stub.revoke('sid', 'somebody');
    expect(await waiting).toMatchObject({ ok: true });
    expect((await Promise.all(flood)).filter(({ ok }) => ok)).toHaveLength(8);
  });

  test('who is behind is asked about where introspection is wanted, also for a feed that is no more', async () => {
    const verifier = await ready({ catchUpMs: 50, onStale: 'introspect' });
    const token = await stub.token();
    const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as object;
    stub.introspect = () => ({ active: true, token_type: 'Bearer', ...claims });
    for (const minCursor of [`${stub.epoch}.1`, 'epoch--x.0']) {
      expect(await verifier.verify(token, { minCursor })).toMatchObject({ ok: true });
    }
    stub.introspect = () => ({ active: false });
    expect(await verifier.verify(token, { minCursor: 'epoch--x.0' })).toEqual(refused('inactive'));
    expect(stub.to('/oauth/introspect')).toHaveLength(3);
  });

  test('a thousand may wait, and no more', async () => {
    const verifier = await ready({ catchUpMs: 10_000 });
    const tokens = await Promise.all(Array.from({ length: 125 }, (_, i) => stub.token({ sid: `session-${i}` })));
    const another = await stub.token({ sid: 'another' });
    const ask = (token = another) => verifier.verify(token, { minCursor: `epoch--1.1` });
    const waiting = tokens.flatMap((token) => Array.from({ length: 8 }, () => ask(token)));
    expect(await ask()).toEqual(refused('behind'));
    stub.revoke('sid', 'somebody');
    expect((await Promise.all(waiting)).every(({ ok }) => ok)).toBe(true);
    expect(await ask()).toMatchObject({ ok: true });
  });

  test('nor more than one in a second while the feed is broken', async () => {
    const verifier = await ready({ catchUpMs: 20 });
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    stub.cut();
    await until(() => named('feed_failed').length >= 4); // and the next pause is a second at least
    const count = stub.requests.length;
    const start = performance.now();
    for (let i = 0; i < 20; i += 1) await verifier.verify(token, { minCursor: `epoch--1.${20 - i}` });
    expect(stub.requests.length - count).toBeLessThanOrEqual(2 + (performance.now() - start) / 1_000);
  });

  test('who has no good token makes nobody wait', async () => {
    const verifier = await ready({ catchUpMs: 10_000 });
    const expired = await stub.token({ exp: now / 1000 });
    expect(await verifier.verify(expired, { minCursor: `${stub.epoch}.99` })).toEqual(refused('expired'));
  });
});

describe('keys', () => {
  test('a key that the feed calls compromised is dropped at once, and stays so while the JWKS has it', async () => {
    const other = stubKey('key-2');
    stub.listed.push(other);
    const verifier = await ready();
    const token = await stub.token({}, other);
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    await until(() => stub.isWaitedFor);
    stub.revoke('kid', 'key-2', { expires_at: now / 1000 + 1 });
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toEqual(refused('revoked_key'));
    expect(await verifier.verify(await stub.token({}, other))).toEqual(refused('revoked_key'));
    expect(named('key_revoked')).toEqual([{ name: 'key_revoked', kid: 'key-2' }]);
    const after = keyRequests().length;
    now += 1_000;
    stub.now = now;
    await until(() => stub.isWaitedFor);
    stub.revoke('sid', 'somebody');
    await until(() => keyRequests().length > after); // for what comes instead

    // Another feed, that has never heard of it; the JWKS is fetched again, and still lists the key.
    await until(() => stub.isWaitedFor);
    stub.epoch = 'epoch--2';
    stub.entries = [];
    now += 400_000;
    stub.now = now;
    stub.revoke('sid', 'somebody');
    const count = keyRequests().length;
    await until(() => verifier.cursor === stub.cursor && keyRequests().length > count && stub.isWaitedFor);
    expect(await verifier.verify(await stub.token({}, other))).toEqual(refused('revoked_key'));
    expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
  });

  test('is dropped for those too who wait for a cursor meanwhile', async () => {
    const other = stubKey('key-2');
    stub.listed.push(other);
    const verifier = await ready();
    const token = await stub.token({}, other);
    await until(() => stub.isWaitedFor);
    const waiting = verifier.verify(token, { minCursor: `${stub.epoch}.1` });
    stub.revoke('kid', 'key-2');
    expect(await waiting).toEqual(refused('revoked_key'));
  });

  test('an answer that is signed with a dropped key is refused', async () => {
    const other = stubKey('key-2');
    stub.listed.push(other);
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    stub.revoke('kid', 'key-1');
    await until(() => verifier.cursor === stub.cursor);
    stub.revoke('sid', 'session-1');
    await until(() => named('feed_failed').some(({ detail }) => detail === 'signed with a revoked key'));
    stub.signer = other;
    await until(() => verifier.cursor === stub.cursor);
  });

  test('a new key that signs the feed is fetched', async () => {
    const verifier = await ready();
    await until(() => stub.isWaitedFor);
    stub.signer = stubKey('key-2');
    stub.listed.push(stub.signer);
    now += 2_000;
    stub.now = now;
    stub.revoke('sid', 'session-1');
    await until(() => verifier.cursor === stub.cursor);
    expect(await verifier.verify(await stub.token({ sid: 'session-2' }))).toMatchObject({ ok: true });
    expect(keyRequests()).toHaveLength(2);
  });

  test('a flood of unknown keys makes at most one request in 30 s, and all who wait share it', async () => {
    const verifier = await ready({ maxStalenessMs: 300_000 });
    const forged = await Promise.all([1, 2, 3, 4, 5].map((i) => stub.token({}, stubKey(`forged-${i}`))));
    const flood = async () => {
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, i) => verifier.verify(forged[i % 5] as string)),
      );
      expect(new Set(results.map((result) => !result.ok && result.reason))).toEqual(new Set(['unknown_key']));
    };
    const start = now;
    await flood();
    expect(keyRequests()).toHaveLength(1); // the first sync's
    now = start + 29_999;
    await flood();
    expect(keyRequests()).toHaveLength(1);
    now = start + 30_000;
    await flood();
    await flood();
    expect(keyRequests()).toHaveLength(2);
    now = start + 60_000;
    stub.intercept = (request, response) =>
      request.url?.includes('jwks') ? Boolean(response.writeHead(500).end()) : false;
    await flood();
    await flood();
    expect(keyRequests()).toHaveLength(3);
    expect(named('keys_failed')).toEqual([{ name: 'keys_failed', detail: 'status 500' }]);
    expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
  });

  test('a token of a new key makes us fetch it, once for all who wait for it', async () => {
    const verifier = await ready({ maxStalenessMs: 300_000 });
    const other = stubKey('key-2');
    stub.listed.push(other);
    now += 30_000;
    const tokens = await Promise.all([1, 2, 3].map(() => stub.token({}, other)));
    const results = await Promise.all(tokens.map((token) => verifier.verify(token)));
    expect(results.map(({ ok }) => ok)).toEqual([true, true, true]);
    expect(keyRequests()).toHaveLength(2);
  });

  test('a key that the JWKS does not list any more is dropped after five minutes', async () => {
    const other = stubKey('key-2');
    stub.listed.push(other);
    const verifier = await ready({ maxStalenessMs: 300_000 });
    const token = await stub.token({ iat: now / 1000 + 200, exp: now / 1000 + 900 }, other);
    stub.listed.pop();
    await until(() => stub.isWaitedFor);
    now += 250_000;
    stub.now = now;
    stub.revoke('sid', 'somebody');
    await until(() => stub.isWaitedFor && verifier.cursor === stub.cursor);
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    now += 50_000;
    stub.now = now;
    stub.revoke('sid', 'somebody else');
    await until(() => stub.isWaitedFor && verifier.cursor === stub.cursor && keyRequests().length === 2);
    expect(await verifier.verify(token)).toEqual(refused('unknown_key'));

    stub.listed.push(other); // by mistake, then
    now += 30_000;
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
  });
});

describe('what is remembered', () => {
  test('the signature alone: time and revocation are asked at every use', async () => {
    const verifier = await ready({ maxStalenessMs: 300_000 });
    const token = await stub.token({ exp: now / 1000 + 30 });
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    now += 29_999;
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    now += 1;
    expect(await verifier.verify(token)).toEqual(refused('expired'));
  });

  test('cannot be changed by who gets it', async () => {
    const verifier = await ready();
    const token = await stub.token({ roles: ['reader'] });
    const result = await verifier.verify(token);
    const claims = (result.ok ? result.claims : {}) as { sub: string; roles: string[] };
    expect(() => (claims.sub = 'admin')).toThrow(TypeError);
    expect(() => claims.roles.push('admin')).toThrow(TypeError);
  });
});

describe('close', () => {
  test('ends what is under way, and nothing is accepted any more', async () => {
    const verifier = await ready();
    const token = await stub.token();
    await until(() => stub.isWaitedFor);
    const waiting = verifier.verify(token, { minCursor: `${stub.epoch}.9` });
    const count = events.length;
    await verifier.close();
    await verifier.close();
    expect(await waiting).toEqual(refused('not_ready'));
    expect(await verifier.verify(token)).toEqual(refused('not_ready'));
    await expect(verifier.ready()).rejects.toMatchObject({ code: 'closed' });
    expect(events).toHaveLength(count);
    const requests = stub.requests.length;
    stub.revoke('sid', 'x');
    await sleep(600); // two pauses between two requests
    expect(stub.requests).toHaveLength(requests);
    expect(events).toHaveLength(count);
    expect(await stub.connections).toBe(0);
  });

  test('who waits for the keys then is not told that the token is no good', async () => {
    const verifier = await ready({ maxStalenessMs: 300_000 });
    const token = await stub.token({}, stubKey('key-2'));
    await until(() => stub.isWaitedFor);
    now += 30_000;
    stub.intercept = () => true;
    const waiting = verifier.verify(token);
    await until(() => keyRequests().length === 2);
    await verifier.close();
    expect(await waiting).toEqual(refused('not_ready'));
  });

  test('before the first sync', async () => {
    stub.intercept = () => true;
    const verifier = make();
    const whenReady = verifier.ready();
    await until(() => stub.requests.length > 0);
    const rejected = expect(whenReady).rejects.toMatchObject({ code: 'closed' });
    await verifier.close();
    await rejected;
  });
});

test('a fetch that is given sends every request, and follows no redirect', async () => {
  const sent: (RequestInit | undefined)[] = [];
  const verifier = await ready({
    fetch: (url, init) => {
      sent.push(init);
      return fetch(url, init);
    },
  });
  expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
  await until(() => stub.isWaitedFor);
  stub.revoke('sid', 'session-1');
  await until(() => verifier.cursor === stub.cursor);
  expect(sent.length).toBeGreaterThanOrEqual(3);
  expect(sent.every((init) => init?.redirect === 'error')).toBe(true);
});

test('a fetch that is given has the same limits: of size, and of time, whether it knows of signals or not', async () => {
  const pieces = (count: number) => {
    let left = count;
    return new ReadableStream<Uint8Array>({
      pull: (controller) => (left-- > 0 ? controller.enqueue(new Uint8Array(100_000)) : controller.close()),
    });
  };
  make({ fetch: async () => new Response(pieces(11)) });
  await until(() => named('keys_failed').length > 0);
  expect(named('keys_failed')[0]?.detail).toBe('the answer has more than 1000000 octets');
  for (const fetch of [
    () => new Promise<Response>(() => undefined),
    async () => new Response(new ReadableStream({ pull: () => new Promise(() => undefined) })),
  ]) {
    await open.at(-1)?.close();
    events = [];
    make({ fetch, timeoutMs: 100 });
    await until(() => named('keys_failed').length > 0);
    expect(named('keys_failed')[0]?.detail).toBe('no answer in 100 ms');
  }
});

test('a clock that is out of order lets nobody in', async () => {
  let clock: () => unknown = () => now;
  const verifier = await ready({ clock: () => clock() as number, onStale: 'introspect' });
  const token = await stub.token();
  expect(await verifier.verify(token)).toMatchObject({ ok: true });
  const broken = () => {
    throw new Error('no clock');
  };
  for (clock of [() => NaN, () => undefined, () => Infinity, () => 'now', broken]) {
    expect(await verifier.verify(token)).toEqual(refused('not_ready'));
    expect(verifier.stalenessMs()).toBe(Infinity);
  }
  await until(() => stub.isWaitedFor);
  stub.revoke('sid', 'somebody'); // nor is an answer taken meanwhile
  await until(() => named('feed_failed').some(({ detail }) => detail === 'as_of is not now'));
  clock = () => now;
  await until(() => verifier.cursor === stub.cursor);
  expect(await verifier.verify(token)).toMatchObject({ ok: true });
});

test('a request that was sent while the clock was out of order makes nothing fresh', async () => {
  let clock = () => NaN;
  stub.intercept = (request) => {
    if (!request.url?.startsWith('/oauth/revocations')) return false;
    const isFirst = Number.isNaN(clock());
    clock = () => now;
    return !isFirst; // the next one, which would make it fresh, is not answered
  };
  const verifier = make({ clock: () => clock() });
  await until(() => verifier.cursor !== undefined);
  expect(named('ready')).toEqual([]);
  expect(await verifier.verify(await stub.token())).toEqual(refused('stale'));
});

test.each([
  ['at once', () => void ([] as string[]).at(0)!.length],
  ['later', () => Promise.reject(new Error('log full'))],
])('an observer that throws %s stops nothing', async (_, onEvent) => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  onTestFinished(() => void process.off('unhandledRejection', unhandled));
  const verifier = await ready({ onEvent });
  expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
  await sleep(10);
  expect(unhandled).not.toHaveBeenCalled();
});

test('a redirect is not followed', async () => {
  stub.intercept = (_, response) => Boolean(response.writeHead(302, { location: stub.url }).end());
  make();
  await until(() => named('keys_failed').length > 0);
  expect(named('keys_failed')[0]).toMatchObject({ detail: 'status 302' });
  expect(keyRequests().length).toBe(stub.requests.length);
});

test('a connection that the server closes as we use it again is opened anew', async () => {
  const used = new WeakSet<object>();
  stub.intercept = ({ socket }) => {
    const isReused = used.has(socket);
    used.add(socket);
    if (isReused) socket.destroy();
    return isReused;
  };
  const verifier = await ready();
  await until(() => stub.isWaitedFor);
  stub.revoke('sid', 'somebody');
  await until(() => verifier.cursor === stub.cursor && stub.isWaitedFor);
  expect(feedRequests().length).toBeGreaterThan(3);
  expect([...named('keys_failed'), ...named('feed_failed')]).toEqual([]);
});

test('the base URL may be another than the issuer', async () => {
  const verifier = await ready({ baseUrl: `${stub.url}/` });
  expect(await verifier.verify(await stub.token())).toMatchObject({ ok: true });
});
