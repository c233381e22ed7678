import { afterAll, beforeAll, expect, test } from 'vitest';
import { measureLogouts, quantile } from '../../src/commands/logout-canary.js';
import { createVerifier } from '../../src/verifier/verifier.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { makeService, type Service } from '../support/service-client.js';
import { isDatabaseServer, startServer } from '../support/server-process.js';

/** Of the poll of an instance, in the budget of the issue's 300 ms: the rest is the way to the verifier. */
const BOUND_MS = 300;
const LOGOUTS = 200;

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
testOnServer('200 logouts, two instances, three verifiers', { timeout: 300_000 }, async () => {
  const env = { ...gatehouse.env, ISSUER: gatehouse.issuer, AUDIENCE: gatehouse.audience, LOG_LEVEL: 'info' };
  const [one, two] = [await startServer(env), await startServer(env)];
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
  for (const { place, ms } of propagations.slice(2)) expect(quantile(ms, 0.99), place).toBeLessThanOrEqual(BOUND_MS);
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
