import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { PasswordHasher } from '../../src/auth/password-hasher.js';
import { BackgroundWork } from '../../src/background-work.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { areaUnderCurve, median } from '../support/rank-statistic.js';
import type { User } from '../../src/users/user.entity.js';
import { startServer } from '../support/server-process.js';

/**
 * Does an answer, or the time that it takes, tell what kind of address it was about? One request at a time over one
 * connection, the kinds in random order; each pair of kinds of a route is compared by rank.
 *
 * A pair that nothing tells apart strays from 0.5 by a standard deviation of sqrt((2n + 1) / 12) / n: 0.0167 for the 600
 * samples of two batches, so that a limit is 3.0 of them away and one of the 56 pairs is outside by chance in one run of
 * seven. It is measured on then: with up to ten batches chance goes and a leak stays. (300 samples alone would have limits
 * 2.1 deviations away, and a pair outside in most runs.)
 */
const LOWEST = 0.45;
const HIGHEST = 0.55;
const BATCH = 300;
const FEWEST_BATCHES = 2;
const MOST_BATCHES = 10;
/** Not counted, of each kind at the start of a batch: a new process, a connection that was idle. */
const WARM_UP = 20;
/** Of each kind so many come before all are shuffled again: near in time, and whose turn is next says nothing. */
const BLOCK = 4;

/** Low, so that the noise of a hash hides little: what leaks here leaks less at the cost of production. */
const BCRYPT_COST = 4;
const ROOM = '1000000/86400';
const PASSWORD = 'violet kettle gravel';
const WRONG_PASSWORD = 'not the right one';

/** `costlier`: as `known`, but its hash takes twice as long, which is one hash more. */
type AccountKind = 'known' | 'unverified' | 'locked' | 'disabled' | 'costlier';
type Kind = AccountKind | 'unknown';
const KINDS: Kind[] = ['known', 'unknown', 'unverified', 'locked', 'disabled'];

interface Route {
  name: string;
  path: string;
  kinds: Kind[];
  bodyOf: (email: string) => object;
  /** The status of every answer. */
  status: number;
  /** How many failures an address has behind it. Locked ones have ten. */
  failuresOf: (kind: Kind) => number;
}

type Times = Map<Kind, number[]>;

let gatehouse: Gatehouse;
const accounts = new Map<AccountKind, string[]>();

beforeAll(async () => {
  // Makes the accounts and catches the mail. The instance that is measured, and sends it, has a process of its own.
  gatehouse = await startGatehouse({
    EMAIL_VERIFICATION: 'required',
    BCRYPT_COST: String(BCRYPT_COST),
    // With everything that is counted for a client address, and room for the measurement.
    RATE_LIMITS: 'on',
    RATE_LIMIT_LOGIN: ROOM,
    RATE_LIMIT_SIGNUP: ROOM,
    RATE_LIMIT_FORGOT: ROOM,
    RATE_LIMIT_RESEND: ROOM,
  });
  await gatehouse.app.get(BackgroundWork).beforeApplicationShutdown();
  const hasher = gatehouse.app.get(PasswordHasher);
  for (const kind of ['known', 'unverified', 'locked', 'disabled'] as const) {
    accounts.set(kind, await makeAccounts(kind, hasher));
  }
  const costlier = await gatehouse.another({ BCRYPT_COST: String(BCRYPT_COST + 1) });
  accounts.set('costlier', await makeAccounts('costlier', costlier.app.get(PasswordHasher)));
  await costlier.stop();
});
afterAll(() => gatehouse.stop());

const instant = (date: Date) => date.toISOString().replace('T', ' ').replace('Z', '');
const newAddress = () => `${randomBytes(8).toString('hex')}@example.com`;

async function makeAccounts(kind: AccountKind, hasher: PasswordHasher): Promise<string[]> {
  const now = instant(new Date());
  const isVerified = kind !== 'unverified';
  const rows = [];
  for (let i = 0; i < WARM_UP + BATCH; i++) {
    const id = uuidv7();
    const email = newAddress();
    rows.push({
      id,
      email,
      email_canonical: email,
      email_verified: isVerified ? 1 : 0,
      password_hash: await hasher.hash(id, PASSWORD),
      created_at: now,
      pending_since: isVerified ? null : now,
      disabled_at: kind === 'disabled' ? now : null,
    });
  }
  await insert('users', rows);
  return rows.map(({ email }) => email);
}

async function insert(table: string, rows: Record<string, unknown>[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const one = `(${columns.map(() => '?').join()})`;
  for (let from = 0; from < rows.length; from += 100) {
    const part = rows.slice(from, from + 100);
    await gatehouse.sql(
      `INSERT INTO ${table} (${columns.join()}) VALUES ${part.map(() => one).join()}`,
      part.flatMap((row) => columns.map((column) => row[column])),
    );
  }
}

/** The addresses of one batch, with nothing left of the batches before but the accounts. */
async function prepare({ kinds, failuresOf }: Pick<Route, 'kinds' | 'failuresOf'>): Promise<Map<Kind, string[]>> {
  // Budgets too: the first failure of a client at an account counts one more, and addresses without one are new in each batch.
  const tables = ['mail_requests', 'outbox', 'login_failures', 'rate_limits'];
  for (const table of tables) await gatehouse.sql(`DELETE FROM ${table}`);
  const addresses = new Map<Kind, string[]>();
  const attempts = gatehouse.app.get(PasswordAttempts);
  const now = new Date();
  for (const kind of kinds) {
    const emails = (kind === 'unknown' ? unknownAddresses(attempts) : accounts.get(kind)) ?? [];
    const failures = kind === 'locked' ? 10 : failuresOf(kind);
    addresses.set(kind, emails);
    const locked_until = kind === 'locked' ? instant(new Date(now.getTime() + 1_700_000)) : null;
    const counts = { failures, consecutive: failures, reserved: 0, locked_until, updated_at: instant(now) };
    const user = kind === 'unknown' ? null : ({} as User);
    const counters = emails.map((identifier) => attempts.counterOf({ identifier, user }));
    await insert(
      'login_failures',
      counters.map((account) => ({ account, ...counts })),
    );
  }
  await attempts.prepare();
  return addresses;
}

/** Addresses without an account that share no counter with each other. */
function unknownAddresses(attempts: PasswordAttempts): string[] {
  const byBucket = new Map<number, string>();
  while (byBucket.size < WARM_UP + BATCH) {
    const email = newAddress();
    byBucket.set(attempts.bucketOf(email), email);
  }
  return [...byBucket.values()];
}

interface Answer {
  /** From the first byte written to the last one read. */
  ms: number;
  status: number | undefined;
  /** Everything a client sees but the time and the ids. */
  visible: string;
}

function post(agent: Agent, origin: string, path: string, json: object): Promise<Answer> {
  const body = JSON.stringify(json);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const outgoing = request(origin + path, { agent, method: 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => {
        const ms = Number(process.hrtime.bigint() - startedAt) / 1e6;
        const requestId = String(response.headers['x-request-id']);
        // What is left of the client's own budget goes down with every request, whatever it is about.
        const headers = JSON.stringify({ ...response.headers, date: '', ratelimit: '' });
        const visible = `${headers} ${text}`.replaceAll(requestId, '');
        resolve({ ms, status: response.statusCode, visible });
      });
    });
    outgoing.on('error', reject);
    const startedAt = process.hrtime.bigint();
    outgoing.end(body);
  });
}

function shuffled<T>(values: T[]): T[] {
  return values
    .map((value) => ({ value, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

/** Each address of a batch once. */
async function sample(route: Route, agent: Agent, origin: string, times: Times): Promise<void> {
  const addresses = await prepare(route);
  const answers = new Map<string, string>();
  for (let from = 0; from < WARM_UP + BATCH; from += BLOCK) {
    const block = route.kinds.flatMap((kind) =>
      (addresses.get(kind) ?? []).slice(from, from + BLOCK).map((email) => ({ kind, email })),
    );
    for (const { kind, email } of shuffled(block)) {
      const { ms, status, visible } = await post(agent, origin, route.path, route.bodyOf(email));
      expect(status, `${route.name}, ${kind}: ${visible}`).toBe(route.status);
      answers.set(visible, kind);
      if (from >= WARM_UP) times.get(kind)?.push(ms);
    }
  }
  expect([...answers], 'the answers differ').toHaveLength(1);
}

/** The pairs of which one kind takes longer than the other: an area above 0.5 says that the first one does. */
function telling(times: Times): string[] {
  const found: string[] = [];
  const kinds = [...times.keys()].filter((kind) => kind !== 'costlier');
  for (const [index, kind] of kinds.entries()) {
    for (const other of kinds.slice(0, index)) {
      const area = areaUnderCurve(times.get(other) ?? [], times.get(kind) ?? []);
      if (!(area >= LOWEST && area <= HIGHEST)) found.push(`${kind} against ${other}: ${area.toFixed(3)}`);
    }
  }
  return found;
}

function print({ name }: Route, times: Times): void {
  const kinds = [...times.keys()];
  const lines = kinds.map((kind) => {
    const mine = times.get(kind) ?? [];
    const areas = kinds.map((other) =>
      other === kind ? '-' : areaUnderCurve(times.get(other) ?? [], mine).toFixed(3),
    );
    return [kind, median(mine).toFixed(3), ...areas];
  });
  const count = times.get('known')?.length;
  const table = [[`${name}, ${count} each`, 'median ms', ...kinds], ...lines];
  const text = table.map(([first = '', ...rest]) => first.padEnd(34) + rest.map((cell) => cell.padStart(12)).join(''));
  process.stdout.write(`\n${text.join('\n')}\n`);
}

async function measure(route: Route): Promise<Times> {
  const server = await startServer({ ...gatehouse.env, LOG_LEVEL: 'info' });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: Times = new Map(route.kinds.map((kind) => [kind, []]));
  for (let batch = 1; batch <= MOST_BATCHES; batch++) {
    await sample(route, agent, server.origin, times);
    if (batch >= FEWEST_BATCHES && telling(times).length === 0) break;
  }
  agent.destroy();
  await server.stop();
  print(route, times);
  return times;
}

const login = { path: '/auth/login', status: 401, bodyOf: (email: string) => ({ email, password: WRONG_PASSWORD }) };
const mail = { status: 202, kinds: KINDS, bodyOf: (email: string) => ({ email }), failuresOf: () => 0 };
const patience = { timeout: 600_000 };

test('the kinds are what they are called', patience, async () => {
  const kinds: Kind[] = [...KINDS, 'costlier'];
  const addresses = await prepare({ kinds, failuresOf: () => 0 });
  const seen: Record<string, unknown> = {};
  for (const kind of kinds) {
    const { status, body } = await gatehouse.post('/auth/login', {
      email: addresses.get(kind)?.[0],
      password: PASSWORD,
    });
    seen[kind] = body.code ?? status;
  }
  expect(seen).toEqual({
    known: 200,
    unknown: 'invalid_credentials',
    unverified: 'email_not_verified',
    locked: 'invalid_credentials',
    disabled: 'account_disabled',
    costlier: 200,
  });
});

// Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
test('login: the first try', patience, async () => {
  const failuresOf = () => 0;
  expect(telling(await measure({ name: 'login, first try', ...login, kinds: KINDS, failuresOf }))).toEqual([]);
});

// Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
test('login: a later try; and one hash more is seen', patience, async () => {
  const kinds: Kind[] = [...KINDS, 'costlier'];
  const times = await measure({ name: 'login, later try', ...login, kinds, failuresOf: () => 3 });
  expect(telling(times)).toEqual([]);
  for (const kind of KINDS) {
    const area = areaUnderCurve(times.get(kind) ?? [], times.get('costlier') ?? []);
    expect(area, `too much noise: one hash more does not show against ${kind}`).toBeGreaterThan(HIGHEST);
  }
});

// Proves ASVS 6.3.8, CS Authentication: a failed login is the same bytes, after the same time, whatever the reason
test('login: the try that locks', patience, async () => {
  const kinds = KINDS.filter((kind) => kind !== 'locked');
  expect(telling(await measure({ name: 'login, try that locks', ...login, kinds, failuresOf: () => 9 }))).toEqual([]);
});

// Proves CS Forgot Password: forgot and resend answer alike, in the same time, for every address
test('forgot', patience, async () => {
  expect(telling(await measure({ name: 'forgot', path: '/auth/password/forgot', ...mail }))).toEqual([]);
  expect(gatehouse.smtp?.messages.length, 'mail was sent meanwhile').toBeGreaterThan(0);
});

// Proves CS Forgot Password: forgot and resend answer alike, in the same time, for every address
test('resend', patience, async () => {
  expect(telling(await measure({ name: 'resend', path: '/auth/email/resend', ...mail }))).toEqual([]);
});

// Proves ASVS 6.3.8, CS Authentication: a sign-up that must be verified says the same, in the same time, for every address
test('sign-up', patience, async () => {
  const bodyOf = (email: string) => ({ email, password: PASSWORD });
  expect(telling(await measure({ name: 'sign-up', path: '/auth/signup', ...mail, bodyOf }))).toEqual([]);
});
