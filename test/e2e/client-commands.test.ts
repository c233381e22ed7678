import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { secretDigest } from '../../src/oauth/client-secret.entity.js';
import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import { runCommand, runJson } from '../support/command.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { keyPair } from '../support/key-pair.js';
import { isDatabaseServer, temporaryFolder } from '../support/server-process.js';
import { makeService, Service } from '../support/service-client.js';

// Every command is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

/** What has nothing to do with which database it is. */
const testOnce: typeof test = isDatabaseServer() ? ((() => {}) as never) : test;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const cli = (...args: string[]) => runCommand(gatehouse, ...args);
const TWO_SECONDS = 2_000; // by then every instance knows what an operator has changed

// Proves ASVS 10.4.10: a secret is shown once, and can be changed without a moment in which none is good
test('a client from its making to its end', async () => {
  const { lines, stderr } = await runJson(gatehouse, 'client:create', 'orders', '--audience', gatehouse.audience);
  const [{ client_id: id, client_secret: secret, ...rest }] = lines;
  expect(rest).toEqual({ name: 'orders', audiences: [gatehouse.audience] });
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(stderr).toEqual([]);
  gatehouse.secrets.add(secret);
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const first = new Service(gatehouse, id, 'orders', secret);
  expect((await first.introspect(token)).body.active).toBe(true);

  const rotated = await cli('client:rotate-secret', 'orders');
  expect([rotated.code, rotated.stderr]).toEqual([0, ['The secret is not shown again.']]);
  const fields = Object.fromEntries(rotated.stdout.map((line) => line.split(/ {2,}/)));
  expect(fields).toMatchObject({ client_id: id, name: 'orders', audiences: gatehouse.audience });
  const second = new Service(gatehouse, id, 'orders', fields['client_secret']);
  gatehouse.secrets.add(second.secret);
  await vi.waitFor(async () => expect((await second.introspect(token)).status).toBe(200), TWO_SECONDS);
  expect((await first.introspect(token)).status, 'both are good').toBe(200);

  const [listed] = (await runJson(gatehouse, 'client:list')).lines;
  expect(listed).toMatchObject({ client_id: id, name: 'orders', method: 'client_secret_basic', disabled_at: null });
  expect(JSON.stringify(listed)).not.toContain(secret);

  expect((await cli('client:disable', id)).stdout).toEqual(['orders is disabled.']);
  await vi.waitFor(async () => expect((await second.introspect(token)).status).toBe(401), TWO_SECONDS);
  expect((await cli('client:list')).stdout).toEqual([
    expect.stringMatching(`^${id}  orders  ${gatehouse.audience}  disabled 2`),
  ]);
});

test('of secrets that are made at once two are good', async () => {
  // Two connections to one SQLite file in one process wait for each other in vain: at once, they ask one instance there.
  const other = isDatabaseServer() ? await gatehouse.another() : gatehouse;
  if (other !== gatehouse) onTestFinished(() => other.stop());
  const { id } = await makeService(gatehouse);
  for (let round = 0; round < 10; round++) {
    const rotations = [gatehouse, other, gatehouse, other].map(async ({ app }) => {
      const clients = app.get(ServiceClientService);
      return clients.rotateSecret((await clients.find(id))!, { type: 'operator', id: 'grace' });
    });
    const made = (await Promise.all(rotations)).map(({ secret = '' }) => secretDigest(secret));
    const live = await gatehouse.sql('SELECT digest FROM client_secrets WHERE client_id = ?', [id]);
    expect(live).toHaveLength(2);
    for (const { digest } of live) expect(made).toContain(digest);
  }
});

testOnce('what cannot be done is said', async () => {
  const { publicKey, privateKey } = keyPair();
  const folder = temporaryFolder();
  const file = (name: string, content: unknown) => {
    writeFileSync(join(folder, name), JSON.stringify(content));
    return join(folder, name);
  };
  const good = file('good.json', { keys: [publicKey.export({ format: 'jwk' })] });
  const secret = file('secret.json', { keys: [privateKey.export({ format: 'jwk' })] });
  const make = (...args: string[]) => cli('client:create', ...args, '--audience', 'https://a.example');
  expect((await make('signer', '--jwks', good)).stdout[0]).toMatch(/^client_id +[\da-f-]{36}$/);
  const refused: [number, RegExp, Promise<{ code: number | null; stdout: string[]; stderr: string[] }>][] = [
    [1, /^There is a client signer already\.$/, make('signer')],
    [1, /^signer signs its requests and has no secret\.$/, cli('client:rotate-secret', 'signer')],
    [1, /no JWK set of public keys/, make('other', '--jwks', secret)],
    [1, /cannot be read \(ENOENT\)$/, make('other', '--jwks', join(folder, 'none.json'))],
    [1, /^There is no client nobody\.$/, cli('client:disable', 'nobody')],
    [2, /1 to 64 characters/, make('Not A Name')],
    [2, /required option '--audience/, cli('client:create', 'other')],
    [2, /1 to 255 visible/, cli('client:create', 'other', '--audience', '')],
  ];
  for (const [code, message, running] of refused) {
    const ended = await running;
    expect([ended.code, ended.stdout], String(message)).toEqual([code, []]);
    expect(ended.stderr.join('\n')).toMatch(message);
  }
});
