// Proves ours (Sessions): an acknowledged logout survives a killed process
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { expect, test } from 'vitest';
import { baseEnvironment, newAccount, type Account, type Answer, type Tokens } from '../support/gatehouse.js';
import {
  isDatabaseServer,
  lookInto,
  startServer,
  temporaryDatabase,
  type ServerProcess,
} from '../support/server-process.js';

const ROUNDS = 4;
const CLIENTS = 8;
const AT_ONCE = 8;

/** A login as its client knows it: every access token it got, and the newest refresh token. */
interface Session {
  accessTokens: string[];
  refreshToken: string;
}

/** What the servers have acknowledged. What was under way at a kill is in none of the lists but `unsure`. */
class Acknowledged {
  readonly accounts: Account[] = [];
  readonly unsure = new Set<Account>();
  readonly live = new Set<Session>();
  readonly ended = new Set<Session>();
}

test(
  'a kill at any moment loses nothing that was acknowledged, and leaves nothing half done',
  { timeout: 180_000 },
  async () => {
    const url = await temporaryDatabase();
    const rows = await lookInto(url);
    const env = { ...baseEnvironment(url), REFRESH_LEEWAY_SECONDS: '60', LOG_LEVEL: 'info' };
    // On a database server two share the work, and the one that is not killed has to know what the other was told.
    const servers = await Promise.all(Array.from({ length: isDatabaseServer() ? 2 : 1 }, () => startServer(env)));

    const all = new Acknowledged();
    for (let round = 1; round <= ROUNDS; round++) {
      const victims = round === ROUNDS ? [...servers] : [anyOf(servers)];
      const told = await killUnderLoad(servers, victims);
      for (const victim of victims) servers.splice(servers.indexOf(victim), 1);
      if (servers.length > 0) await expectKept(told, servers);
      servers.push(...(await Promise.all(victims.map(() => startServer(env)))));
      await expectKept(told, servers);
      await expectConsistent(rows);
      for (const account of told.accounts) all.accounts.push(account);
      for (const session of told.live) all.live.add(session);
      for (const session of told.ended) all.ended.add(session);
    }
    await expectKept(all, servers);
    await expectConsistent(rows);
    for (const list of [all.accounts, [...all.live], [...all.ended]]) expect(list.length).toBeGreaterThan(0);
    await Promise.all(servers.map((server) => server.stop()));
  },
);

/** Lets clients work over all servers until some random acknowledgement, and kills the victims some milliseconds later. */
async function killUnderLoad(servers: ServerProcess[], victims: ServerProcess[]): Promise<Acknowledged> {
  const told = new Acknowledged();
  const surprises: string[] = [];
  let isKilling = false;
  let left = 5 + Math.floor(Math.random() * 120);
  let isTime = () => {};
  const time = new Promise<void>((resolve) => (isTime = resolve));

  /** The body of an acknowledgement. Everything else ends the client, and is a surprise unless a server was killed. */
  const acknowledged = async <T>(status: number, answer: Promise<Answer<T>>): Promise<T> => {
    const outcome = await answer.catch((error: Error) => error);
    if (outcome instanceof Error || outcome.status !== status) {
      if (!(outcome instanceof Error)) surprises.push(`${outcome.status} instead of ${status}: ${outcome.text}`);
      else if (!isKilling) surprises.push(`${outcome.message}: ${String(outcome.cause)}`);
      throw new ClientEnded();
    }
    if (--left <= 0) isTime();
    return outcome.body;
  };
  const client = async () => {
    try {
      for (;;) await live(() => anyOf(servers), told, acknowledged);
    } catch (error) {
      if (!(error instanceof ClientEnded)) throw error;
      isTime();
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);

  await time;
  await sleep(Math.random() * 15);
  isKilling = true;
  for (const { program } of victims) {
    expect(await program.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
    await sleep(Math.random() * 30);
  }
  await Promise.all(clients);
  const errors = servers.map(({ program }) =>
    program.output.split('\n').filter((line) => line.includes('"level":"error"')),
  );
  expect(surprises, errors.flat().join('\n')).toEqual([]);
  return told;
}

class ClientEnded extends Error {}

/** A person's day: an account, two logins, refreshes, one or two logouts. */
async function live(
  server: () => ServerProcess,
  told: Acknowledged,
  acknowledged: <T>(status: number, answer: Promise<Answer<T>>) => Promise<T>,
): Promise<void> {
  const account = newAccount();
  told.unsure.add(account);
  await acknowledged(201, server().post('/auth/signup', account));
  told.unsure.delete(account);
  told.accounts.push(account);

  const sessions: Session[] = [];
  for (let login = 0; login < 2; login++) {
    const tokens = await acknowledged<Tokens>(200, server().post('/auth/login', account));
    const session = { accessTokens: [tokens.access_token], refreshToken: tokens.refresh_token };
    sessions.push(session);
    told.live.add(session);
    for (let refresh = 0; refresh < 1 + login; refresh++) {
      const next = await acknowledged<Tokens>(
        200,
        server().post('/auth/refresh', { refresh_token: session.refreshToken }),
      );
      session.accessTokens.push(next.access_token);
      session.refreshToken = next.refresh_token;
    }
  }

  const [first, second] = sessions as [Session, Session];
  const token = second.accessTokens.at(-1) ?? '';
  const logout = [
    { path: '/auth/logout', token, ends: [second] },
    { path: '/auth/logout', json: { refresh_token: first.refreshToken }, ends: [first] },
    { path: '/auth/logout-all', token, ends: [first, second] },
  ][Math.floor(Math.random() * 3)]!;
  for (const session of logout.ends) told.live.delete(session);
  const options = 'token' in logout ? { token } : {};
  await acknowledged(204, server().post(logout.path, logout.json, options));
  for (const session of logout.ends) told.ended.add(session);
}

/** Holds the servers to everything that was acknowledged before the kill. */
async function expectKept(told: Acknowledged, servers: ServerProcess[]): Promise<void> {
  await inParallel(told.unsure, async (account) => {
    expect([201, 409], 'there or not there').toContain((await anyOf(servers).post('/auth/signup', account)).status);
    told.accounts.push(account);
  });
  told.unsure.clear();
  await inParallel(told.accounts, async (account) => {
    const { status, text } = await anyOf(servers).post('/auth/login', account);
    expect(status, `an acknowledged account: ${text}`).toBe(200);
  });
  await inParallel(told.ended, async ({ accessTokens, refreshToken }) => {
    for (const token of [accessTokens[0], accessTokens.at(-1)]) {
      expect((await anyOf(servers).get('/users/me', { token: token ?? '' })).status, 'an ended access token').toBe(401);
    }
    const { status } = await anyOf(servers).post('/auth/refresh', { refresh_token: refreshToken });
    expect(status, 'an ended refresh token').toBe(401);
  });
  await inParallel(told.live, async (session) => {
    const newest = session.accessTokens.at(-1) ?? '';
    expect((await anyOf(servers).get('/users/me', { token: newest })).status, 'a live access token').toBe(200);
    const { status, body, text } = await anyOf(servers).post<Tokens>('/auth/refresh', {
      refresh_token: session.refreshToken,
    });
    expect(status, `a live refresh token: ${text}`).toBe(200);
    session.accessTokens.push(body.access_token);
    session.refreshToken = body.refresh_token;
  });
}

/** What must hold in the rows at any moment. No access token has expired yet, so every revocation is still due. */
async function expectConsistent(rows: DataSource): Promise<void> {
  const breaches = {
    'ended without a revocation, or one that is too short': `
      SELECT s.id FROM sessions s LEFT JOIN revocations r ON r.kind = 'sid' AND r.value = s.id
      WHERE s.ended_at IS NOT NULL AND (r.seq IS NULL OR r.expires_at < s.access_expires_at)`,
    'revoked without having ended': `
      SELECT r.value FROM revocations r LEFT JOIN sessions s ON s.id = r.value
      WHERE r.kind = 'sid' AND (s.id IS NULL OR s.ended_at IS NULL)`,
    'ended without a reason, or a reason without an end':
      'SELECT id FROM sessions WHERE (ended_at IS NULL) <> (end_reason IS NULL)',
    'an honest client taken for a thief': `SELECT id FROM sessions WHERE end_reason = 'refresh_token_replayed'`,
    'a session of nobody': 'SELECT s.id FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE u.id IS NULL',
    'an address with two accounts': 'SELECT email_canonical FROM users GROUP BY email_canonical HAVING COUNT(*) > 1',
    'a third signing key': 'SELECT kid FROM signing_keys WHERE number NOT IN (1, 2)',
  };
  for (const [breach, statement] of Object.entries(breaches)) expect(await rows.query(statement), breach).toEqual([]);
}

function anyOf<T>(items: T[]): T {
  return items[Math.floor(Math.random() * items.length)]!;
}

/** Few at a time: the queue for passwords is bounded, and a 503 would say nothing here. */
async function inParallel<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
