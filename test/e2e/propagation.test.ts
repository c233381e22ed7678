import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { measureLogouts, quantile } from '../../src/commands/logout-canary.js';
import { KeyRotation } from '../../src/tokens/key-rotation.js';
import { createVerifier, type Verifier, type VerifyResult } from '../../src/verifier/verifier.js';
import { CutProxy } from '../support/cut-proxy.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { makeService, type Service } from '../support/service-client.js';
import { isDatabaseServer, startServer } from '../support/server-process.js';

/** Of the poll of an instance, in the budget of the issue's 300 ms: the rest is the way to the verifier. */
const BOUND_MS = 300;
const LOGOUTS = 200;
/** A series that other work on the machine has disturbed is measured again, and printed all the same. */
const MAX_SERIES = 3;
/** The default of a verifier. */
const MAX_STALENESS_MS = 5_000;

const testOnServer: typeof test = isDatabaseServer() ? test : ((() => {}) as never);

let gatehouse: Gatehouse;
let service: Service;
let account: Account;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  service = await makeService(gatehouse);
  account = await gatehouse.signUp(newAccount());
});
afterAll(() => gatehouse.stop());

const verifierOf = ({ origin }: { origin: string }) => ({
  issuer: gatehouse.issuer,
  audience: gatehouse.audience,
  clientId: service.id,
  clientSecret: service.secret,
  baseUrl: origin,
});

// Proves ours (Checking tokens): a logout is true at every instance with the next request, and at every verifier within 300 ms
testOnServer('200 logouts, two instances, three verifiers', { timeout: 600_000 }, async () => {
  const env = { ...gatehouse.env, ISSUER: gatehouse.issuer, AUDIENCE: gatehouse.audience, LOG_LEVEL: 'info' };
  const [one, two] = [await startServer(env), await startServer(env)];
  for (let series = 1; ; series++) {
    const propagations = await measureLogouts({
      urls: [one.origin, two.origin],
      ...account,
      verifiers: [verifierOf(one), verifierOf(two), verifierOf(two)],
      rounds: LOGOUTS,
      giveUpMs: 30_000,
    });
    const lines = propagations.map(({ place, ms }) => {
      const [median, p99, max] = [0.5, 0.99, 1].map((part) => quantile(ms, part).toFixed(1).padStart(7));
      return `${place.padEnd(44)} median ${median} ms  p99 ${p99} ms  longest ${max} ms`;
    });
    process.stdout.write(
      `\nfrom the answer to a logout until the token is refused, ${LOGOUTS} logouts\n${lines.join('\n')}\n`,
    );
    expect(propagations.map(({ ms }) => ms.length)).toEqual(Array(5).fill(LOGOUTS));
    for (const { place, ms } of propagations.slice(0, 2)) expect(Math.max(...ms), place).toBe(0);
    const worst = Math.max(...propagations.slice(2).map(({ ms }) => quantile(ms, 0.99)));
    if (worst > BOUND_MS && series < MAX_SERIES) continue;
    expect(worst).toBeLessThanOrEqual(BOUND_MS);
    return;
  }
});

// Proves ours (Checking tokens): who sends the cursor of a logout along is never told yes to a token that it has ended
test('with the cursor of the logout no verifier is behind', async () => {
  const other = await gatehouse.another();
  const verifier = createVerifier(verifierOf(other));
  await verifier.ready();
  for (let i = 0; i < 20; i++) {
    const { access_token: token } = await gatehouse.logIn(account);
    const { headers } = await gatehouse.post('/auth/logout', undefined, { token });
    const minCursor = headers.get('revocation-cursor') as string;
    expect(await verifier.verify(token, { minCursor })).toEqual({ ok: false, reason: 'revoked' });
  }
  await verifier.close();
  await other.stop();
});

interface Cut {
  onStale: 'reject' | 'introspect';
  /** What does not get through. */
  path: string;
  /** What becomes of a token that was revoked meanwhile, and of one that was not. */
  revoked: object;
  good: object;
}

// Proves ours (Checking tokens): a verifier that hears nothing says yes to nothing from `maxStalenessMs` on, or asks first
test.each<Cut>([
  {
    onStale: 'reject',
    path: '/',
    revoked: { ok: false, reason: 'stale' },
    good: { ok: false, reason: 'stale' },
  },
  {
    onStale: 'introspect',
    path: '/oauth/revocations',
    revoked: { ok: false, reason: 'inactive' },
    good: { ok: true },
  },
])('with the feed cut, and onStale $onStale, no stale yes', async ({ onStale, path, revoked, good }) => {
  const proxy = await CutProxy.start(gatehouse.origin);
  const verifier = createVerifier({ ...verifierOf(proxy), onStale });
  onTestFinished(() => verifier.close());
  await verifier.ready();
  const [ended, other] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
  for (const { access_token: token } of [ended, other])
    expect(await verifier.verify(token)).toMatchObject({ ok: true });

  proxy.cut(path);
  const cutAt = performance.now();
  const since = () => performance.now() - cutAt;
  await gatehouse.post('/auth/logout', undefined, { token: ended.access_token });
  let lastYesMs = 0;
  let firstOtherwiseMs = Infinity;
  let asked = 0;
  const late: { of: string; result: VerifyResult }[] = [];
  while (since() < MAX_STALENESS_MS + 2_000) {
    for (const [of, { access_token: token }] of Object.entries({ ended, other })) {
      const isLate = since() >= MAX_STALENESS_MS;
      const result = await verifier.verify(token);
      asked += 1;
      if (of === 'ended' && result.ok) lastYesMs = since();
      else if (of === 'ended') firstOtherwiseMs = Math.min(firstOtherwiseMs, since());
      if (isLate) late.push({ of, result });
    }
    await sleep(1);
  }
  process.stdout.write(
    `\nfeed cut, onStale ${onStale}, asked ${asked} times: the token of a logout was accepted for the last time after ` +
      `${lastYesMs.toFixed(0)} ms, refused from ${firstOtherwiseMs.toFixed(0)} ms on (bound ${MAX_STALENESS_MS} ms)\n`,
  );
  expect(lastYesMs).toBeLessThan(MAX_STALENESS_MS);
  expect(lastYesMs).toBeLessThan(firstOtherwiseMs);
  expect(late.length).toBeGreaterThan(10);
  for (const { of, result } of late) expect(result).toMatchObject(of === 'ended' ? revoked : good);

  proxy.mend();
  await expect
    .poll(() => verifier.verify(ended.access_token), { timeout: 10_000 })
    .toMatchObject({ reason: 'revoked' });
  expect(await verifier.verify(other.access_token)).toMatchObject({ ok: true });
});

// Proves ours (Checking tokens): a signing key that was revoked is dropped by every verifier within 300 ms
test('a revoked key, two instances, three verifiers', async () => {
  const other = await gatehouse.another();
  onTestFinished(() => other.stop());
  for (let series = 1; ; series++) {
    const times = await revokeSigningKey([gatehouse, other, other]);
    const list = times.map((ms) => ms.toFixed(1)).join(', ');
    process.stdout.write(`\nfrom the end of keys:revoke until three verifiers have dropped the key: ${list} ms\n`);
    const worst = Math.max(...times);
    if (worst > BOUND_MS && series < MAX_SERIES) continue;
    expect(worst).toBeLessThanOrEqual(BOUND_MS);
    return;
  }
});

/** Revokes the key that signs. Returns after how many milliseconds a new verifier of each instance has dropped it. */
async function revokeSigningKey(instances: Gatehouse[]): Promise<number[]> {
  const verifiers = instances.map((at) => createVerifier(verifierOf(at)));
  onTestFinished(async () => void (await Promise.all(verifiers.map((verifier) => verifier.close()))));
  await Promise.all(verifiers.map((verifier) => verifier.ready()));
  const { access_token: token } = await gatehouse.logIn(account);
  for (const verifier of verifiers) expect(await verifier.verify(token)).toMatchObject({ ok: true });
  const { kid } = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as { kid: string };

  const outcome = await gatehouse.app
    .get(KeyRotation, { strict: false })
    .revoke(kid, { type: 'operator', id: 'grace' });
  expect(outcome).toMatchObject({ result: 'revoked' });
  const revokedAt = performance.now();
  const isDropped = async (verifier: Verifier) => {
    while ((await verifier.verify(token)).ok) await sleep(1);
    expect(await verifier.verify(token)).toEqual({ ok: false, reason: 'revoked_key' });
    return performance.now() - revokedAt;
  };
  const times = await Promise.all(verifiers.map(isDropped));
  const { access_token: next } = await gatehouse.logIn(account);
  for (const verifier of verifiers)
    await expect.poll(() => verifier.verify(next), { timeout: 10_000 }).toMatchObject({ ok: true });
  return times;
}
