import { createLocalJWKSet, jwtVerify } from 'jose';
import mysql from 'mysql2/promise';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { quantile } from '../../src/commands/logout-canary.js';
import { KeyRotation } from '../../src/tokens/key-rotation.js';
import { RevocationFeed } from '../../src/tokens/revocation-feed.js';
import { RevocationFeedRepository } from '../../src/tokens/revocation-feed.repository.js';
import { startGatehouse, type Gatehouse, type Tokens } from '../support/gatehouse.js';
import { metric } from '../support/metrics.js';
import { makeService, postForm, type Service } from '../support/service-client.js';
import { isDatabaseServer } from '../support/server-process.js';

const testOnServer: typeof test = isDatabaseServer() ? test : ((() => {}) as never);

/** Far less than the 25 s after which a request that waits ends by itself. */
const SOON_MS = 5_000;

let gatehouse: Gatehouse;
let service: Service;
let tokens: Tokens;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  service = await makeService(gatehouse);
});
afterAll(() => gatehouse.stop());
beforeEach(async () => {
  tokens = await gatehouse.signUpAndLogIn();
});

const feedOf = (of = gatehouse) => of.app.get(RevocationFeed);
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
const logOut = (token = tokens.access_token) => gatehouse.post('/auth/logout', undefined, { token });
const valuesOf = ({ entries }: { entries: { value: string }[] }) => entries.map(({ value }) => value);

/** Notes when each look at the table begins, until the test is over; each takes so many milliseconds longer. */
function watchLooks(extraMs = 0): { startedAt: number[]; stop: () => void } {
  const rows = gatehouse.app.get(RevocationFeedRepository);
  const find = rows.findAfter.bind(rows);
  const startedAt: number[] = [];
  const look = vi.spyOn(rows, 'findAfter').mockImplementation(async (...asked) => {
    startedAt.push(performance.now());
    if (extraMs > 0) await sleep(extraMs);
    return find(...asked);
  });
  const stop = () => look.mockRestore();
  onTestFinished(stop);
  return { startedAt, stop };
}

const gapsOf = (instants: number[]) => instants.slice(1).map((at, i) => at - (instants[i] as number));

test('is a JWS under a key of the key set, of a type of its own', async () => {
  await logOut();
  const { text, headers } = await gatehouse.get('/oauth/revocations', { headers: { Authorization: service.basic } });
  expect(headers.get('content-type')).toBe('application/jwt');
  expect(headers.get('cache-control')).toBe('no-store');
  const keys = createLocalJWKSet((await gatehouse.get('/.well-known/jwks.json')).body);
  const { payload, protectedHeader } = await jwtVerify(text, keys, { algorithms: ['ES256'], typ: 'revocations+jwt' });
  expect(Object.keys(protectedHeader).sort()).toEqual(['alg', 'kid', 'typ']);
  expect(Object.keys(payload).sort()).toEqual(['as_of', 'cursor', 'entries', 'full', 'issuer']);
  const { sid, exp } = claimsOf(tokens.access_token);
  expect(payload).toMatchObject({ issuer: gatehouse.issuer, full: true });
  expect(Math.abs((payload['as_of'] as number) - Date.now() / 1000)).toBeLessThan(5);
  const entry = (payload['entries'] as { value: string; expires_at: number }[]).find(({ value }) => value === sid);
  expect(entry).toMatchObject({ kind: 'sid', value: sid });
  expect(entry?.expires_at).toBeGreaterThanOrEqual(exp);
  expect((await gatehouse.get('/users/me', { token: text })).status, 'it opens nothing').toBe(401);
});

test('tells after a cursor what came after it, each once', async () => {
  const { cursor } = await service.feed();
  expect(await service.feed(cursor)).toMatchObject({ full: false, entries: [] });
  await logOut();
  const second = await gatehouse.signUpAndLogIn();
  const { headers } = await logOut(second.access_token);
  const news = await service.feed(cursor);
  expect(news.full).toBe(false);
  expect(valuesOf(news)).toEqual([tokens, second].map(({ access_token: token }) => claimsOf(token).sid));
  expect(headers.get('revocation-cursor')).toBe(news.cursor);
  expect(await service.feed(news.cursor)).toMatchObject({ full: false, entries: [], cursor: news.cursor });
});

test('tells everything after a cursor that is none of this feed', async () => {
  await logOut();
  const { cursor, entries } = await service.feed();
  const [epoch, position] = cursor.split('.') as [string, string];
  for (const since of [
    '',
    'x',
    `${epoch}.`,
    `${epoch}.-1`,
    `${epoch}.1e3`,
    `AAAAAAAA.${position}`,
    `${cursor}9`,
    '1',
  ]) {
    expect(await service.feed(since), since).toMatchObject({ full: true, cursor, entries });
  }
});

test('does not tell what has expired by itself', async () => {
  await logOut();
  const { sid } = claimsOf(tokens.access_token);
  const { cursor } = await service.feed();
  expect(valuesOf(await service.feed())).toContain(sid);
  gatehouse.passSeconds(301);
  await feedOf().cursor(); // looks again, by the clock as it is now
  expect(valuesOf(await service.feed())).not.toContain(sid);
  expect(await service.feed(cursor)).toMatchObject({ full: false, entries: [] });
  gatehouse.passSeconds(-301);
});

test('has logouts of every kind, and of everybody who has lost an account', async () => {
  const { cursor } = await service.feed();
  const other = await gatehouse.signUpAndLogIn();
  const { headers } = await gatehouse.post('/auth/logout-all', {}, { token: other.access_token });
  await service.revoke(tokens.access_token);
  const news = await service.feed(cursor);
  expect(headers.get('revocation-cursor')).toMatch(/^[\w-]{8}\.\d+$/);
  expect(valuesOf(news)).toEqual([other, tokens].map(({ access_token: token }) => claimsOf(token).sid));
});

test('what comes twice has the cursor of the first time or a later one', async () => {
  const first = (await logOut()).headers.get('revocation-cursor') as string;
  const second = (await logOut()).headers.get('revocation-cursor') as string;
  expect(Number(second.split('.')[1])).toBeGreaterThanOrEqual(Number(first.split('.')[1]));
});

test('says in the header of news what it comes after, and nothing in that of everything', async () => {
  const headerOf = async (query: string) => {
    const path = `/oauth/revocations${query}`;
    const { text } = await gatehouse.get(path, { headers: { Authorization: service.basic } });
    return JSON.parse(Buffer.from(text.split('.')[0] as string, 'base64url').toString());
  };
  const { cursor } = await service.feed();
  await logOut();
  const { cursor: later } = await service.feed();
  expect(await headerOf(`?since=${cursor}`)).toMatchObject({ typ: 'revocations+jwt', since: cursor });
  expect(await headerOf(`?since=${later}`)).toMatchObject({ since: later });
  expect(Object.keys(await headerOf('')).sort()).toEqual(['alg', 'kid', 'typ']);
  expect(Object.keys(await headerOf(`?since=AAAAAAAA.1`)).sort()).toEqual(['alg', 'kid', 'typ']);
});

test('begins anew, on every instance, when its database has lost what was told', async () => {
  const other = await gatehouse.another();
  await logOut();
  const { cursor } = await service.feed();
  await service.feed(cursor, 0, other);
  const { sid } = claimsOf(tokens.access_token);
  await gatehouse.sql('DELETE FROM revocations WHERE value = ?', [sid]);
  const setBack = isDatabaseServer()
    ? 'UPDATE revocation_feed SET position = position - 1'
    : `UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'revocations'`;
  await gatehouse.sql(setBack);
  await vi.waitFor(async () => expect((await service.feed(cursor)).full).toBe(true), { timeout: 10_000 });
  const renewed = await service.feed();
  expect(renewed.cursor.split('.')[0]).not.toBe(cursor.split('.')[0]);
  expect(valuesOf(renewed)).not.toContain(sid);
  await vi.waitFor(async () => expect((await service.feed(undefined, 0, other)).cursor).toBe(renewed.cursor), {
    timeout: 10_000,
  });
  const second = await gatehouse.signUpAndLogIn();
  await logOut(second.access_token);
  for (const at of [gatehouse, other]) {
    expect(valuesOf(await service.feed(renewed.cursor, 5, at))).toEqual([claimsOf(second.access_token).sid]);
  }
  await other.stop();
});

test('is the same one after its rows were purged', async () => {
  const { cursor } = await service.feed();
  await gatehouse.sql('DELETE FROM revocations');
  await sleep(1_200); // it has looked
  expect(await service.feed(cursor)).toMatchObject({ cursor, full: false });
});

describe('waiting', () => {
  test('ends with the news, on any instance', async () => {
    const other = await gatehouse.another();
    const { cursor } = await service.feed();
    const startedAt = performance.now();
    const waiting = [service.feed(cursor, 25), service.feed(cursor, 25, other)];
    await sleep(300);
    await logOut();
    for (const { entries } of await Promise.all(waiting)) {
      expect(entries.map(({ value }) => value)).toEqual([claimsOf(tokens.access_token).sid]);
    }
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    await other.stop();
  });

  test('ends without any when its time is up', async () => {
    const { cursor } = await service.feed();
    const startedAt = performance.now();
    expect(await service.feed(cursor, 1)).toMatchObject({ full: false, cursor, entries: [] });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });

  test('does not take place for whoever is behind, or knows nothing', async () => {
    const { cursor } = await service.feed();
    await logOut();
    const startedAt = performance.now();
    expect((await service.feed(cursor, 25)).entries).toHaveLength(1);
    expect((await service.feed(undefined, 25)).full).toBe(true);
    expect((await service.feed('x', 25)).full).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test('ends when the instance is stopped', async () => {
    const other = await gatehouse.another();
    const { cursor } = await service.feed();
    const waiting = service.feed(cursor, 25, other);
    while (feedOf(other).waiters === 0) await sleep(10);
    const startedAt = performance.now();
    await other.stop();
    expect(await waiting).toMatchObject({ entries: [] });
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
  });

  test.each(['GET', 'POST'])('leaves nothing behind when the client goes: %s', async (method) => {
    const { cursor } = await service.feed();
    const gone = new AbortController();
    const parameters = new URLSearchParams({ since: cursor, wait: '25' });
    const url = `${gatehouse.origin}/oauth/revocations`;
    const options = { headers: { Authorization: service.basic }, signal: gone.signal };
    const waiting =
      method === 'GET'
        ? fetch(`${url}?${parameters.toString()}`, options)
        : fetch(url, { ...options, method, body: parameters });
    while (feedOf().waiters === 0) await sleep(10);
    const startedAt = performance.now();
    gone.abort();
    await expect(waiting).rejects.toThrow();
    while (feedOf().waiters > 0) await sleep(10);
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
  });

  test('of hundreds of services costs one query a tick, and three a second for clients and keys', async () => {
    const services = await Promise.all(Array.from({ length: 200 }, () => makeService(gatehouse)));
    let isOver = false;
    let begun = 0;
    let answers = 0;
    const follow = async (one: Service) => {
      let { cursor } = await one.feed(); // everything, which costs a query more
      for (begun++; !isOver; answers++) ({ cursor } = await one.feed(cursor, 1));
    };
    const statements: string[] = [];
    const log = vi.spyOn(gatehouse.dataSource.logger, 'logQuery');
    const following = services.map((one) => sleep(Math.random() * 1_000).then(() => follow(one)));
    while (begun < services.length) await sleep(100);
    await sleep(1_000);
    answers = 0;
    log.mockImplementation((statement) => void statements.push(statement));
    const startedAt = performance.now();
    await sleep(3_000);
    while (answers <= 200 && performance.now() - startedAt < 30_000) await sleep(100);
    const seconds = (performance.now() - startedAt) / 1000;
    log.mockRestore();
    isOver = true;
    expect(answers).toBeGreaterThan(200);
    const count = (table: RegExp) => statements.filter((statement) => table.test(statement)).length / seconds;
    expect(count(/\brevocations\b/)).toBeGreaterThan(0);
    expect(count(/\brevocations\b/)).toBeLessThanOrEqual(12.5 + 1);
    expect(count(/\b(clients|client_secrets)\b/)).toBeLessThanOrEqual(2 + 1);
    expect(count(/\bsigning_keys\b/)).toBeLessThanOrEqual(1 + 1);
    await Promise.all(following);
  });

  test('adds nothing to the time between two looks that the look itself takes', async () => {
    const waiting = service.feed((await service.feed()).cursor, 25);
    while (feedOf().waiters === 0) await sleep(10);
    const looks = watchLooks(70);
    await vi.waitFor(() => expect(looks.startedAt.length).toBeGreaterThan(12), { timeout: 10_000 });
    looks.stop();
    expect(quantile(gapsOf(looks.startedAt), 0.5)).toBeLessThan(150); // 80; with the time of the look it would be 150
    await logOut();
    await waiting;
  });
});

describe('while nobody waits', () => {
  /** What another instance tells of, after as long as a look may be old. */
  const logOutElsewhere = async (other: Gatehouse) => {
    await other.post('/auth/logout', undefined, { token: tokens.access_token });
    await sleep(100);
  };

  test('the table is looked at once a second', async () => {
    await sleep(100); // the look that was due when the last one went
    const looks = watchLooks();
    const startedAt = performance.now();
    await sleep(5_000);
    const seconds = (performance.now() - startedAt) / 1000;
    looks.stop();
    expect(looks.startedAt.length).toBeGreaterThanOrEqual(Math.floor(seconds) - 2);
    expect(looks.startedAt.length).toBeLessThanOrEqual(seconds + 2);
  });

  test('whoever asks is told what another instance has revoked all the same', async () => {
    const other = await gatehouse.another();
    for (let i = 0; i < 3; i++) {
      tokens = await gatehouse.signUpAndLogIn();
      const { cursor } = await service.feed();
      await logOutElsewhere(other);
      expect(valuesOf(await service.feed(cursor))).toEqual([claimsOf(tokens.access_token).sid]);
    }
    await other.stop();
  });

  test('the first who waits ends that', async () => {
    const other = await gatehouse.another();
    const { cursor } = await service.feed();
    await sleep(1_200);
    const waiting = service.feed(cursor, 25);
    while (feedOf().waiters === 0) await sleep(1);
    const looks = watchLooks();
    await vi.waitFor(() => expect(looks.startedAt.length).toBeGreaterThanOrEqual(3), { timeout: 10_000 });
    looks.stop();
    expect(Math.min(...gapsOf(looks.startedAt))).toBeLessThan(500); // 80; while nobody waits it is a second
    await logOutElsewhere(other);
    expect(valuesOf(await waiting)).toEqual([claimsOf(tokens.access_token).sid]);
    await other.stop();
  });
});

describe('everything', () => {
  test('is read once for all who ask between two looks, and once at a time', async () => {
    await logOut();
    const rows = gatehouse.app.get(RevocationFeedRepository);
    const find = rows.findLive.bind(rows);
    let underWay = 0;
    let most = 0;
    const read = vi.spyOn(rows, 'findLive').mockImplementation(async (...asked) => {
      most = Math.max(most, ++underWay);
      await sleep(200);
      underWay -= 1;
      return find(...asked);
    });
    const pages = await Promise.all(Array.from({ length: 100 }, (_, i) => sleep(i * 3).then(() => feedOf().read())));
    expect(most).toBe(1);
    expect(read.mock.calls.length).toBeLessThanOrEqual(4);
    for (const page of pages) expect(valuesOf(page)).toContain(claimsOf(tokens.access_token).sid);
    read.mockRestore();
  });

  test('has what was revoked while it was being read', async () => {
    const rows = gatehouse.app.get(RevocationFeedRepository);
    const find = rows.findLive.bind(rows);
    const read = vi.spyOn(rows, 'findLive').mockImplementation(async (...asked) => {
      const entries = await find(...asked);
      await sleep(200);
      return entries;
    });
    const early = feedOf().read();
    await sleep(50);
    await logOut();
    expect(valuesOf(await service.feed())).toContain(claimsOf(tokens.access_token).sid);
    await early;
    read.mockRestore();
  });
});

test('goes on from where it was when an instance starts on an empty table', async () => {
  await logOut();
  const { cursor } = await service.feed();
  await gatehouse.sql('DELETE FROM revocations');
  const other = await gatehouse.another();
  expect(await service.feed(cursor, 0, other)).toMatchObject({ full: false, cursor, entries: [] });
  await other.stop();
});

// Proves ours (Checking tokens): a revocation that is committed late is told all the same, after those that were read before it
describe('a revocation', () => {
  const INSERT = 'INSERT INTO revocations (kind, value, expires_at, created_at) VALUES (?, ?, ?, ?)';
  const rowOf = (value: string) => {
    const at = new Date(Date.now() + 300_000).toISOString().replace('T', ' ').replace('Z', '');
    return ['sid', value, at, at];
  };

  testOnServer('whose transaction ends after later ones were read is not lost', async () => {
    const { cursor } = await service.feed();
    const connection = await mysql.createConnection(gatehouse.env['DATABASE_URL'] as string);
    const late = [randomUUID(), randomUUID()];
    await connection.beginTransaction();
    for (const value of late) await connection.query(INSERT, rowOf(value));

    const startedAt = performance.now();
    await logOut();
    const second = await gatehouse.signUpAndLogIn();
    await logOut(second.access_token);
    expect(performance.now() - startedAt, 'nobody waits for it').toBeLessThan(20_000);
    const early = await service.feed(cursor);
    expect(valuesOf(early)).toEqual([tokens, second].map(({ access_token: token }) => claimsOf(token).sid));

    const waiting = service.feed(early.cursor, 25);
    await connection.commit();
    await connection.end();
    expect(valuesOf(await waiting).sort()).toEqual([...late].sort());
    expect(valuesOf(await service.feed(cursor))).toHaveLength(4);
  });

  testOnServer('that is rolled back is not told, and leaves no hole to wait for', async () => {
    const { cursor } = await service.feed();
    const connection = await mysql.createConnection(gatehouse.env['DATABASE_URL'] as string);
    await connection.beginTransaction();
    await connection.query(INSERT, rowOf(randomUUID()));
    await connection.rollback();
    await connection.end();
    await logOut();
    expect(valuesOf(await service.feed(cursor))).toEqual([claimsOf(tokens.access_token).sid]);
  });

  testOnServer('is told although a host died in the middle of giving places', async () => {
    const { cursor } = await service.feed();
    const frozen = gatehouse.dataSource.createQueryRunner();
    await frozen.startTransaction();
    await frozen.query('UPDATE revocation_feed SET position = position');
    const startedAt = performance.now();
    await logOut();
    const waiting = async (): Promise<string[]> => {
      const news = await service.feed(cursor).catch(() => undefined);
      return news?.entries.length ? valuesOf(news) : sleep(500).then(waiting);
    };
    expect(await waiting()).toEqual([claimsOf(tokens.access_token).sid]);
    expect(performance.now() - startedAt).toBeGreaterThan(5_000);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    await expect(frozen.query('SELECT 1')).rejects.toThrow();
    await frozen.release();
  });

  test('of hundreds at once has one place, the same on every instance', async () => {
    const other = await gatehouse.another();
    await feedOf(other).cursor();
    const { cursor } = await service.feed();
    const values = Array.from({ length: 600 }, () => randomUUID());
    await Promise.all(values.map((value) => gatehouse.sql(INSERT, rowOf(value))));
    await Promise.all([feedOf().cursor(), feedOf(other).cursor()]);
    const [here, there] = [await service.feed(cursor), await service.feed(cursor, 0, other)];
    expect(valuesOf(here)).toEqual(valuesOf(there));
    expect(valuesOf(here).sort()).toEqual([...values].sort());
    await other.stop();
  });
});

describe('a request', () => {
  test('needs a client', async () => {
    expect((await gatehouse.get('/oauth/revocations')).status).toBe(401);
    expect((await gatehouse.get('/oauth/revocations', { token: tokens.access_token })).status).toBe(401);
  });

  test('for a longer time than there is, or for none that is a number, is 400', async () => {
    for (const wait of ['26', '-1', '1.5', 'x', '100', '1e1']) {
      const path = `/oauth/revocations?wait=${wait}`;
      const { status, body } = await gatehouse.get(path, { headers: { Authorization: service.basic } });
      expect([status, body.error], wait).toEqual([400, 'invalid_request']);
    }
    const twice = await gatehouse.get('/oauth/revocations?since=a&since=b', {
      headers: { Authorization: service.basic },
    });
    expect(twice.status).toBe(400);
  });

  test('may be a form', async () => {
    const answer = await postForm(gatehouse, '/oauth/revocations', { wait: '0' }, { Authorization: service.basic });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/jwt']);
  });

  test('while the database is away is 503, and a logout that is done is 204 without a cursor', async () => {
    const { cursor } = await service.feed();
    const away = vi
      .spyOn(gatehouse.app.get(RevocationFeedRepository), 'findAfter')
      .mockRejectedValue(new Error('gone'));
    const { status, headers } = await logOut();
    expect([status, headers.get('revocation-cursor')]).toEqual([204, null]);
    await sleep(1_100);
    const answer = await gatehouse.get(`/oauth/revocations?since=${cursor}`, {
      headers: { Authorization: service.basic },
    });
    expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable']);
    away.mockRestore();
    expect(valuesOf(await service.feed(cursor))).toEqual([claimsOf(tokens.access_token).sid]);
  });
});

test('is signed by no key that was revoked, and the next page after that already', async () => {
  const other = await gatehouse.another();
  const kidOf = async (at: Gatehouse) => {
    const { text } = await at.get('/oauth/revocations', { headers: { Authorization: service.basic } });
    return JSON.parse(Buffer.from(text.split('.')[0] as string, 'base64url').toString()).kid as string;
  };
  const kid = await kidOf(gatehouse);
  expect(await kidOf(other)).toBe(kid);
  await gatehouse.app.get(KeyRotation).revoke(kid, { type: 'operator', id: 'tester' });
  expect(await kidOf(gatehouse)).not.toBe(kid);
  await feedOf(other).cursor(); // the next look
  expect(await kidOf(other)).not.toBe(kid);
  await other.stop();
});

test('how far a service is behind, by what it asks for, is a metric', async () => {
  const { cursor } = await service.feed();
  const lag = () => metric(gatehouse, `gatehouse_verifier_lag{client="${service.name}"}`);
  await logOut();
  const news = await service.feed(cursor);
  expect(await lag(), 'it may never have got the answer').toBe(1);
  await service.feed(news.cursor);
  expect(await lag()).toBe(0);
  const other = await gatehouse.signUpAndLogIn();
  await logOut(other.access_token);
  expect(await lag()).toBe(1);
  await service.feed('AAAAAAAA.7');
  expect(await lag(), 'it knows nothing of this feed').toBe(Number(news.cursor.split('.')[1]) + 1);
  expect(await metric(gatehouse, `gatehouse_verifier_silent_seconds{client="${service.name}"}`)).toBeLessThan(60);
});
