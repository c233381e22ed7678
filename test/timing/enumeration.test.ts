import { Agent, request } from 'node:http';
import { randomBytes } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { PasswordHasher } from '../../src/auth/password-hasher.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { areaUnderCurve, median } from '../support/rank-statistic.js';
import { startServer } from '../support/server-process.js';

/**
 * Does the time of an answer tell what kind of address it was about? One request at a time over one connection, the kinds
 * in random order, each address once; every pair of kinds is compared by rank.
 *
 * Without any difference the area under the curve of n samples each has a standard deviation of sqrt((2n + 1) / 12) / n:
 * 0.0129 for 1,000, so the limits are 3.9 of them away. With 300 they would be 2.1 away, and one of the forty comparisons
 * would fail by chance in most runs.
 */
const SAMPLES = 1_000;
const WARM_UP = 50;
const LOWEST = 0.45;
const HIGHEST = 0.55;
/** Of each kind so many come before all are shuffled again. */
const BLOCK = 4;

/** Low, so that the noise of a hash hides little: what leaks here leaks less at the cost of production. */
const BCRYPT_COST = 4;

type Kind = 'known' | 'unknown' | 'unverified' | 'locked' | 'disabled' | 'costlier';
const KINDS: Kind[] = ['known', 'unknown', 'unverified', 'locked', 'disabled'];

let gatehouse: Gatehouse;
let port: number;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

beforeAll(async () => {
  // The instance of this process makes accounts and catches mail; the one that is measured has a process of its own.
  gatehouse = await startGatehouse({ EMAIL_VERIFICATION: 'required', BCRYPT_COST: String(BCRYPT_COST) });
});
afterAll(() => gatehouse.stop());

/** Starts the measured server. It is stopped when the test is over. */
async function measuredServer(): Promise<void> {
  const server = await startServer({ ...gatehouse.env, LOG_LEVEL: 'info' });
  port = Number(new URL(server.origin).port);
}

const instant = (date: Date) => date.toISOString().replace('T', ' ').replace('Z', '');

async function insert(rows: DataSource, table: string, values: Record<string, unknown>[]): Promise<void> {
  const columns = Object.keys(values[0] as object);
  const one = `(${columns.map(() => '?').join()})`;
  for (let from = 0; from < values.length; from += 200) {
    const part = values.slice(from, from + 200);
    await rows.query(
      `INSERT INTO ${table} (${columns.join()}) VALUES ${part.map(() => one).join()}`,
      part.flatMap((value) => columns.map((column) => value[column])),
    );
  }
}

/** Addresses of one kind, each with three failures behind it; the locked ones with ten. */
async function addressesOf(kind: Kind): Promise<string[]> {
  const now = new Date();
  const people = Array.from({ length: WARM_UP + SAMPLES }, () => ({
    id: uuidv7(),
    email: `p${randomBytes(8).toString('hex')}@example.com`,
  }));
  const isVerified = kind !== 'unverified';
  if (kind !== 'unknown') {
    const hasher = gatehouse.app.get(PasswordHasher);
    const config = { bcryptCost: kind === 'costlier' ? BCRYPT_COST + 1 : BCRYPT_COST };
    const users = [];
    for (const { id, email } of people) {
      users.push({
        id,
        email,
        email_canonical: email,
        email_verified: isVerified ? 1 : 0,
        password_hash: await hasher.hash.call(
          Object.assign(Object.create(hasher), { config }),
          id,
          'violet kettle gravel',
        ),
        created_at: instant(now),
        pending_since: isVerified ? null : instant(now),
        disabled_at: kind === 'disabled' ? instant(now) : null,
      });
    }
    await insert(gatehouse.dataSource, 'users', users);
  }
  const failures = kind === 'locked' ? 10 : 3;
  const attempts = gatehouse.app.get(PasswordAttempts);
  await insert(
    gatehouse.dataSource,
    'login_failures',
    people.map(({ email }) => ({
      account: attempts.accountOf(email),
      failures,
      consecutive: failures,
      reserved: 0,
      locked_until: kind === 'locked' ? instant(new Date(now.getTime() + 1_700_000)) : null,
      updated_at: instant(now),
    })),
  );
  return people.map(({ email }) => email);
}

interface Measured {
  ms: number;
  /** Everything a client sees but the time and the ids. */
  answer: string;
}

function post(path: string, json: object): Promise<Measured> {
  const body = JSON.stringify(json);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, host: '127.0.0.1', port, path, method: 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => {
        const ms = Number(process.hrtime.bigint() - startedAt) / 1e6;
        const names = Object.keys(response.headers).sort().join();
        const comparable = text.replace(/"request_id":"[^"]+"/, '');
        resolve({ ms, answer: `${response.statusCode} ${names} ${comparable}` });
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

/** Asks about every address once and returns the times of each kind, the warm-up aside. */
async function measure(path: string, kinds: Kind[], bodyOf: (email: string) => object): Promise<Map<Kind, number[]>> {
  const addresses = new Map<Kind, string[]>();
  for (const kind of kinds) addresses.set(kind, await addressesOf(kind));
  await measuredServer();
  const times = new Map(kinds.map((kind) => [kind, [] as number[]]));
  const answers = new Set<string>();
  for (let from = 0; from < WARM_UP + SAMPLES; from += BLOCK) {
    const block = kinds.flatMap((kind) =>
      (addresses.get(kind) as string[]).slice(from, from + BLOCK).map((email) => ({ kind, email })),
    );
    for (const { kind, email } of shuffled(block)) {
      const { ms, answer } = await post(path, bodyOf(email));
      answers.add(answer);
      if (from >= WARM_UP) times.get(kind)?.push(ms);
    }
  }
  expect([...answers], 'the answers differ').toHaveLength(1);
  return times;
}

/** The areas under the curve of all pairs; prints them beside the medians. */
function compare(route: string, times: Map<Kind, number[]>): Map<string, number> {
  const areas = new Map<string, number>();
  const kinds = [...times.keys()];
  const table = kinds.map((kind) => {
    const row: Record<string, string> = { [route]: kind, 'median ms': median(times.get(kind) ?? []).toFixed(3) };
    for (const other of kinds) {
      if (other === kind) continue;
      const area = areaUnderCurve(times.get(other) ?? [], times.get(kind) ?? []);
      areas.set(`${kind} against ${other}`, area);
      row[other] = area.toFixed(3);
    }
    return row;
  });
  // eslint-disable-next-line no-console -- the table is what a reader wants of this command
  console.table(table);
  return areas;
}

function expectAlike(areas: Map<string, number>): void {
  const telling = [...areas].filter(([, area]) => area < LOWEST || area > HIGHEST);
  expect(telling, 'the time tells').toEqual([]);
}

test('login', { timeout: 300_000 }, async () => {
  const kinds: Kind[] = [...KINDS, 'costlier'];
  const times = await measure('/auth/login', kinds, (email) => ({ email, password: 'not the right one' }));
  const areas = compare('login', times);
  // That the instrument sees something at all: a hash of twice the work, a millisecond here, is outside.
  expect(areas.get('costlier against known')).toBeGreaterThan(HIGHEST);
  expectAlike(new Map([...areas].filter(([pair]) => !pair.includes('costlier'))));
});

test('sign-up', { timeout: 300_000 }, async () => {
  const times = await measure('/auth/signup', KINDS, (email) => ({ email, password: 'violet kettle gravel' }));
  expectAlike(compare('sign-up', times));
});

test.each([
  ['forgot', '/auth/password/forgot'],
  ['resend', '/auth/email/resend'],
])('%s', { timeout: 300_000 }, async (name, path) => {
  const times = await measure(path, KINDS, (email) => ({ email }));
  expectAlike(compare(name, times));
});
