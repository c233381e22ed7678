import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DeviceTokens } from '../../src/auth/device-tokens.js';
import { LoginPairs } from '../../src/auth/login-pairs.js';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { PasswordHasher } from '../../src/auth/password-hasher.js';
import { Unavailable } from '../../src/common/domain-error.js';
import { RateLimits } from '../../src/limits/rate-limits.js';
import { newAccount, startGatehouse, type Account, type Answer, type Gatehouse } from '../support/gatehouse.js';
import { metric } from '../support/metrics.js';
import { isDatabaseServer } from '../support/server-process.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({
    RATE_LIMITS: 'on',
    TRUST_PROXY: '1',
    RATE_LIMIT_LOGIN: '5/60',
    RATE_LIMIT_SIGNUP: '4/3600',
    RATE_LIMIT_FORGOT: '4/3600',
    RATE_LIMIT_RESEND: '4/3600',
    RATE_LIMIT_REFRESH: '6/60',
    ALERT_ACCOUNTS_PER_ADDRESS: '3/3600',
  });
});
afterAll(() => gatehouse.stop());

/** Lets so many seconds pass for every budget: the library knows the clock of the process alone. */
async function passSeconds(seconds: number): Promise<void> {
  await gatehouse.sql('UPDATE rate_limits SET expire = expire - ?', [seconds * 1000]);
}

let lastAddress = 0;
/** Addresses that no other test has. */
const newAddress = () => `203.0.113.${(lastAddress += 1)}`;
const from = (ip: string) => ({ headers: { 'X-Forwarded-For': ip } });
const guess = (ip: string, { email } = newAccount(), instance = gatehouse) =>
  instance.post('/auth/login', { email, password: 'not the right one' }, from(ip));

/** Accounts count by their bucket, and two may have the same. */
function inDifferentBuckets(count: number): Account[] {
  const attempts = gatehouse.app.get(PasswordAttempts);
  const byBucket = new Map<number, Account>();
  while (byBucket.size < count) {
    const account = newAccount();
    byBucket.set(attempts.bucketOf(account.email), account);
  }
  return [...byBucket.values()];
}

async function repeated(times: number, work: () => Promise<Answer>): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < times; i++) statuses.push((await work()).status);
  return statuses;
}

describe('a client address', () => {
  // Proves ASVS 6.3.1, ASVS 2.4.1: a client address has a budget for logins, sign-ups, mails and refreshes, on all instances together
  // Proves RFC 6585 §4: a spent budget is a 429 with Retry-After
  test('has so many logins in a window, and 429 until the next one', async () => {
    const ip = newAddress();
    expect(await repeated(5, () => guess(ip))).toEqual([401, 401, 401, 401, 401]);
    const refused = await guess(ip);
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ code: 'too_many_requests', status: 429 });
    expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const wait = Number(refused.headers.get('retry-after'));
    expect(wait).toBeGreaterThan(50);
    expect(wait).toBeLessThanOrEqual(60);
    await passSeconds(wait);
    expect((await guess(ip)).status).toBe(401);
  });

  // Proves draft-ietf-httpapi-ratelimit-headers: a client is told of its own budget, and of no account’s
  test('is told of its own budget, by the draft for RateLimit fields', async () => {
    const ip = newAddress();
    const { headers } = await guess(ip);
    expect(headers.get('ratelimit-policy')).toBe('"login";q=5;w=60');
    expect(headers.get('ratelimit')).toMatch(/^"login";r=4;t=(60|59)$/);
    await repeated(4, () => guess(ip));
    const refused = await guess(ip);
    expect(refused.headers.get('ratelimit')).toMatch(/^"login";r=0;t=\d+$/);
    // Retry-After is never earlier than the field says (section 5 of the draft).
    const t = Number(/t=(\d+)/.exec(refused.headers.get('ratelimit') ?? '')?.[1]);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(t);
  });

  // Proves PCI 8.3.4, CS Authentication: an address without an account is counted, locked and answered like one that has one
  // Proves draft-ietf-httpapi-ratelimit-headers: a client is told of its own budget, and of no account’s
  test('is told the same for an account that there is and for one that there is not', async () => {
    const account = await gatehouse.signUp();
    const [known, unknown] = [await guess(newAddress(), account), await guess(newAddress())];
    for (const name of ['ratelimit', 'ratelimit-policy']) {
      expect(known.headers.get(name)).toBe(unknown.headers.get(name));
    }
  });

  test('gets back what a login used that succeeds', async () => {
    const ip = newAddress();
    const account = await gatehouse.signUp();
    for (let i = 0; i < 12; i++) await gatehouse.logIn(account, from(ip));
    await repeated(4, () => guess(ip));
    await gatehouse.logIn(account, from(ip));
    expect(await repeated(2, () => guess(ip))).toEqual([401, 429]); // and nothing more than that
  });

  // Proves ASVS 6.3.1, ASVS 2.4.1: a client address has a budget for logins, sign-ups, mails and refreshes, on all instances together
  test('gets nothing back in a window that it has used nothing of', async () => {
    const [late, early] = [newAddress(), newAddress()];
    const limits = gatehouse.app.get(RateLimits);
    await guess(late);
    await passSeconds(61);
    for (const ip of [late, early]) {
      for (let i = 0; i < 3; i++) await limits.giveBack('login', ip);
      expect(await repeated(6, () => guess(ip))).toEqual([401, 401, 401, 401, 401, 429]);
    }
    for (let i = 0; i < 9; i++) await limits.giveBack('login', late);
    expect(await repeated(6, () => guess(late))).toEqual([401, 401, 401, 401, 401, 429]);
  });

  test('gets back what a login used that failed through us', async () => {
    const ip = newAddress();
    const account = await gatehouse.signUp({}, from(newAddress()));
    const { email, password } = account;
    const logIn = () => gatehouse.post('/auth/login', { email, password }, from(ip));
    for (const [service, method, error] of [
      [gatehouse.app.get(PasswordHasher), 'verify', new Unavailable('hash_queue_full', 2)],
      [gatehouse.app.get(DeviceTokens), 'next', new Error('a bug')],
    ] as const) {
      const spy = vi.spyOn(service as any, method).mockRejectedValue(error);
      const statuses = await repeated(7, logIn);
      spy.mockRestore();
      expect(statuses).toEqual(Array(7).fill(method === 'verify' ? 503 : 500));
    }
    // Nor have they counted against the account.
    expect((await logIn()).status).toBe(200);
    const counter = gatehouse.app.get(PasswordAttempts).accountOf(email);
    const rows = await gatehouse.sql('SELECT failures, reserved FROM login_failures WHERE account = ?', [counter]);
    expect(rows).toEqual([{ failures: 0, reserved: 0 }]);
    expect(await repeated(6, () => guess(ip))).toEqual([401, 401, 401, 401, 401, 429]);
  });

  test('takes nothing from another one', async () => {
    const ip = newAddress();
    await repeated(6, () => guess(ip));
    expect((await guess(newAddress())).status).toBe(401);
  });

  // Proves ASVS 6.3.1: an IPv6 client is its /64
  test('of IPv6 is its /64, however it is written', async () => {
    const network = '2001:db8:77:1';
    const statuses = await repeated(6, () => guess(`${network}::${Math.floor(Math.random() * 65_536).toString(16)}`));
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429]);
    expect((await guess('2001:DB8:77:1:ffff::1')).status).toBe(429);
    expect((await guess('2001:db8:77:2::1')).status).toBe(401);
  });

  test('of IPv4 is the same one mapped into IPv6', async () => {
    const ip = newAddress();
    await repeated(5, () => guess(ip));
    expect((await guess(`::ffff:${ip}`)).status).toBe(429);
  });

  // Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
  test('is what the trusted proxy says, not what the client says', async () => {
    const ip = newAddress();
    await repeated(5, () => guess(ip));
    for (const spoofed of ['198.51.100.1', '198.51.100.2, 198.51.100.3', 'unknown', '127.0.0.1']) {
      expect((await guess(`${spoofed}, ${ip}`)).status).toBe(429);
    }
    const others = { 'X-Real-IP': '198.51.100.9', 'X-Client-IP': '198.51.100.9', 'CF-Connecting-IP': '198.51.100.9' };
    const headers = { ...others, Forwarded: 'for=198.51.100.9', 'X-Forwarded-For': ip };
    const answer = await gatehouse.post('/auth/login', { email: 'a@example.com', password: 'x' }, { headers });
    expect(answer.status).toBe(429);
  });
});

// Proves ASVS 6.3.1, ASVS 2.4.1: a client address has a budget for logins, sign-ups, mails and refreshes, on all instances together
describe('each route has a budget of its own', () => {
  test.each([
    ['signup', 4, () => ['/auth/signup', newAccount()]],
    ['forgot', 4, () => ['/auth/password/forgot', { email: newAccount().email }]],
    ['resend', 4, () => ['/auth/email/resend', { email: newAccount().email }]],
    ['refresh', 6, () => ['/auth/refresh', { refresh_token: 'none of ours' }]],
  ] as [string, number, () => [string, object]][])('%s', async (policy, points, request) => {
    const ip = newAddress();
    const send = () => gatehouse.post(...request(), from(ip));
    const statuses = await repeated(points + 1, send);
    expect(statuses.slice(0, points)).not.toContain(429);
    expect(statuses.at(-1)).toBe(429);
    expect((await send()).headers.get('ratelimit-policy')).toMatch(new RegExp(`^"${policy}";q=${points};w=`));
    expect((await guess(ip)).status).toBe(401);
  });

  test('a body that is refused counts too: reading it is work', async () => {
    const ip = newAddress();
    const statuses = await repeated(6, () => gatehouse.post('/auth/login', { email: 1 }, from(ip)));
    expect(statuses).toEqual([422, 422, 422, 422, 422, 429]);
  });

  test('a checked request has none', async () => {
    const { headers } = await gatehouse.get('/health/live');
    expect(headers.get('ratelimit')).toBeNull();
  });
});

// Proves ASVS 16.3.3: a spent budget is an event
test('a spent budget is one event in a window, and counted', async () => {
  const ip = newAddress();
  const before = await metric(gatehouse, 'gatehouse_budget_refusals_total{budget="login"}');
  await repeated(12, () => guess(ip)); // the last two are refused from memory
  const query = 'SELECT * FROM audit_events WHERE type = ? AND reason = ? AND ip = ?';
  const events = await gatehouse.sql(query, ['excess_rate_limit_exceeded', 'login', ip]);
  expect(events).toMatchObject([{ outcome: 'failure', actor_type: 'anonymous' }]);
  expect(await metric(gatehouse, 'gatehouse_budget_refusals_total{budget="login"}')).toBe(before + 7);
});

// Proves CS Credential Stuffing Prevention: failures at many accounts from one address are recorded and counted
test('failures at many accounts from one address are recorded, once, and change no answer', async () => {
  const ip = newAddress();
  const before = await metric(gatehouse, 'gatehouse_stuffing_alerts_total');
  const [first, ...others] = inDifferentBuckets(4);
  for (const account of [first, first, ...others]) expect((await guess(ip, account)).status).toBe(401);
  const query = 'SELECT details FROM audit_events WHERE reason = ? AND ip = ?';
  const events = await gatehouse.sql(query, ['many_accounts_from_one_address', ip]);
  expect(events.map(({ details }) => JSON.parse(details))).toEqual([{ address: ip, accounts: 4, seconds: 3600 }]);
  expect(await metric(gatehouse, 'gatehouse_stuffing_alerts_total')).toBe(before + 1);
  expect(await metric(gatehouse, 'gatehouse_login_accounts_per_address_max')).toBeGreaterThanOrEqual(4);
});

// Proves CS Credential Stuffing Prevention: failures at many accounts from one address are recorded and counted
test('the metric tells how many accounts there were, however far beyond the threshold', async () => {
  const client = { ip: newAddress(), userAgent: null, requestId: null };
  const pairs = gatehouse.app.get(LoginPairs);
  for (let bucket = 0; bucket < 20; bucket++) await pairs.fail(client, bucket);
  expect(await metric(gatehouse, 'gatehouse_login_accounts_per_address_max')).toBe(20);
});

// Proves ASVS 6.3.1: an account gets three mails of a kind in an hour, and the answer stays
test('forgot: an account gets three mails an hour, and the answer stays', async () => {
  const account = await gatehouse.signUp({}, from(newAddress()));
  for (let i = 0; i < 5; i++) {
    const { status } = await gatehouse.post('/auth/password/forgot', { email: account.email }, from(newAddress()));
    expect(status).toBe(202);
    await gatehouse.sendMails();
  }
  expect(await gatehouse.mails(account.email)).toHaveLength(3);
  const query = 'SELECT type, ip FROM audit_events WHERE subject_id = ? AND type IN (?, ?) ORDER BY id';
  const events = await gatehouse.sql(query, [account.id, 'authn_token_created', 'excess_rate_limit_exceeded']);
  expect(events.map(({ type }) => type)).toEqual([
    ...Array(3).fill('authn_token_created'),
    ...Array(2).fill('excess_rate_limit_exceeded'),
  ]);
  expect(events.every(({ ip }) => ip.startsWith('203.0.113.'))).toBe(true);
  gatehouse.passSeconds(3_601);
  await gatehouse.post('/auth/password/forgot', { email: account.email }, from(newAddress()));
  expect(await gatehouse.mails(account.email)).toHaveLength(4);
  gatehouse.passSeconds(-3_601);
});

// Proves ASVS 6.3.1, ASVS 2.4.1: a client address has a budget for logins, sign-ups, mails and refreshes, on all instances together
test('at once, no more get through than there are', async () => {
  const ip = newAddress();
  const answers = await Promise.all(Array.from({ length: 30 }, () => guess(ip)));
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(25);
});

// Proves ASVS 14.2.7: what is no longer needed is deleted, to the second
test('rows of windows that have ended are purged', async () => {
  await guess(newAddress());
  await passSeconds(90_000);
  const { PurgeService } = await import('../../src/auth/purge.service.js');
  await gatehouse.app.get(PurgeService).purge();
  expect(await gatehouse.sql('SELECT * FROM rate_limits')).toEqual([]);
});

if (isDatabaseServer()) {
  // Proves ASVS 6.3.1, ASVS 2.4.1: a client address has a budget for logins, sign-ups, mails and refreshes, on all instances together
  test('two instances share every budget', async () => {
    const other = await gatehouse.another();
    const ip = newAddress();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => guess(ip, newAccount(), i % 2 ? gatehouse : other)),
    );
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    await other.stop();
  });
}

test('RATE_LIMITS=off lifts them, and not the locks', async () => {
  const free = await gatehouse.another({ RATE_LIMITS: 'off' });
  const ip = newAddress();
  const account = await free.signUp();
  expect(new Set(await repeated(12, () => guess(ip, account, free)))).toEqual(new Set([401]));
  const { email, password } = account;
  const answer = await free.post('/auth/login', { email, password }, from(ip));
  expect(answer.status).toBe(401);
  expect(answer.headers.get('ratelimit')).toBeNull();
  await free.stop();
});
