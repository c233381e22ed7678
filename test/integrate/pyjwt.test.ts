import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, type JWTPayload } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SigningKeys } from '../../src/tokens/signing-keys.js';
import { example } from '../support/examples.js';
import type { Gatehouse, Tokens } from '../support/gatehouse.js';
import { PYTHON } from '../support/integration-tools.js';
import { keyPair } from '../support/key-pair.js';
import { freePort, type Program } from '../support/server-process.js';
import { bearer, claimsOf, hostOf, send, startExampleGatehouse, startProgram, stopPrograms } from './support.js';

const SERVE = `
import sys
from wsgiref.simple_server import make_server
from orders import application
make_server('127.0.0.1', int(sys.argv[1]), application).serve_forever()
`;

let gatehouse: Gatehouse;
let folder: string;
let orders: { program: Program; host: string };
let tokens: Tokens;
beforeAll(async () => {
  gatehouse = await startExampleGatehouse();
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-pyjwt-'));
  writeFileSync(join(folder, 'orders.py'), example('orders.py'));
  orders = await startOrders(gatehouse);
});
afterAll(async () => {
  await stopPrograms();
  await gatehouse?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  tokens = await gatehouse.signUpAndLogIn();
});

/** The service of the example, in a process of its own. */
async function startOrders(
  its: { origin: string },
  changes: Record<string, string> = {},
): Promise<{ program: Program; host: string }> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const module = example('gatehouse_tokens.py', { '127.0.0.1:3000': hostOf(its), ...changes });
  writeFileSync(join(folder, 'gatehouse_tokens.py'), module);
  // Without the folder of compiled files: the module changes from process to process within a second.
  const env = { PYTHONDONTWRITEBYTECODE: '1', PYTHONPATH: folder };
  const program = await startProgram(PYTHON, ['-c', SERVE, String(port)], host, { env, cwd: folder });
  return { program, host };
}

const statusOf = async (token: string, { host } = orders) => (await send(host, bearer(token))).status;
const fetches = () => gatehouse.logLines.filter((line) => line.includes('"route":"/.well-known/jwks.json"')).length;
const seconds = () => Math.floor(Date.now() / 1000);

/** A token under Gatehouse's key, as only Gatehouse can make it, but for what is changed. */
async function forge(claims: JWTPayload = {}, header: Record<string, unknown> = {}, key?: unknown): Promise<string> {
  const { kid, privateKey } = await gatehouse.app.get(SigningKeys).signingKey();
  const payload = { ...claimsOf(tokens.access_token), ...claims };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header })
    .sign(key ?? privateKey);
}

// Proves ours (Checking tokens): the check by public keys in docs/integrate.md is as strict as ours, but for logouts
describe('a token', () => {
  test('that is good is told whose it is', async () => {
    const answer = await send(orders.host, bearer(tokens.access_token));
    expect([answer.status, answer.text]).toEqual([200, `Orders of ${claimsOf(tokens.access_token)['sub']}\n`]);
    expect(await statusOf(await forge()), 'made by this test from the same claims').toBe(200);
  });

  test('that is none is 401 with the challenge', async () => {
    const none = await send(orders.host);
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="orders"']);
    for (const wrong of ['x', 'a.b.c', 'ey.ey.ey', `${tokens.access_token}x`, tokens.refresh_token]) {
      const answer = await send(orders.host, bearer(wrong));
      expect(answer.status, wrong).toBe(401);
      expect(answer.headers['www-authenticate'], wrong).toBe('Bearer realm="orders", error="invalid_token"');
    }
    expect((await send(orders.host, { Authorization: `Basic ${btoa('a:b')}` })).status).toBe(401);
  });

  test.each<[string, JWTPayload]>([
    ['of another issuer', { iss: 'https://auth.example.com/' }],
    ['for another audience', { aud: 'https://other.example' }],
    ['for no audience', { aud: [] }],
    ...['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid'].map((name): [string, JWTPayload] => [
      `without ${name}`,
      { [name]: undefined },
    ]),
    ['from the future', { iat: seconds() + 600 }],
    ['for the future', { nbf: seconds() + 600 }],
  ])('%s is 401', async (_, claims) => {
    expect(await statusOf(await forge(claims))).toBe(401);
  });

  test('of another kind, algorithm or key is 401', async () => {
    const { privateKey: theirs, publicKey } = keyPair();
    const jwk = publicKey.export({ format: 'jwk' });
    expect(await statusOf(await forge({}, { typ: 'JWT' }))).toBe(401);
    expect(await statusOf(await forge({}, { typ: undefined }))).toBe(401);
    expect(await statusOf(await forge({}, { kid: undefined }))).toBe(401);
    expect(await statusOf(await forge({}, {}, theirs))).toBe(401);
    expect(await statusOf(await forge({}, { jwk }, theirs))).toBe(401);
    expect(await statusOf(await forge({}, { alg: 'HS256' }, Buffer.from(JSON.stringify(jwk))))).toBe(401);
    const [, payload] = tokens.access_token.split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url');
    expect(await statusOf(`${none}.${payload}.`)).toBe(401);
  });
});

// A logout is not seen, as the document says; how long that lasts is what this is about.
test('a token is accepted after its logout, until it expires', async () => {
  const { access_token: token } = tokens;
  expect((await gatehouse.post('/auth/logout', undefined, { token })).status).toBe(204);
  expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
  expect(await statusOf(token)).toBe(200);
  // The clock of the other process is the machine's, so the token's life is moved instead: 5 s of leeway, and not 10.
  expect(await statusOf(await forge({ iat: seconds() - 299, exp: seconds() + 1 }))).toBe(200);
  expect(await statusOf(await forge({ iat: seconds() - 300, exp: seconds() }))).toBe(200);
  expect(await statusOf(await forge({ iat: seconds() - 310, exp: seconds() - 10 }))).toBe(401);
});

// Proves ASVS 9.1.3, RFC 8725 §3.10, ASVS 1.3.6: no token brings its own key or names where to get one
test('unknown keys have the JWKS fetched once, and then not for 30 s', async () => {
  const fresh = await startOrders(gatehouse);
  const before = fetches();
  expect(await statusOf(tokens.access_token, fresh)).toBe(200);
  expect(fetches() - before).toBe(1);
  const { privateKey } = keyPair();
  for (let i = 0; i < 20; i++) {
    const forged = await forge({}, { kid: randomUUID(), jku: `${gatehouse.origin}/mine.json` }, privateKey);
    expect(await statusOf(forged, fresh)).toBe(401);
  }
  expect(await statusOf(tokens.access_token, fresh)).toBe(200);
  expect(fetches() - before).toBe(1);
  await fresh.program.kill('SIGTERM');
});

test('when the 30 s are over, an unknown key has it fetched again', async () => {
  const fresh = await startOrders(gatehouse, { '30 if known': '0 if known' });
  const before = fetches();
  for (let i = 0; i < 3; i++) expect(await statusOf(await forge({}, { kid: randomUUID() }), fresh)).toBe(401);
  // The first token found no keys at all, so it asked twice.
  expect(fetches() - before).toBe(4);
  await fresh.program.kill('SIGTERM');
});

describe('while Gatehouse is down', () => {
  test('who has the keys goes on with them, whatever strangers send; who has none says 503, and recovers', async () => {
    const other = await gatehouse.another();
    const [known, unknown] = [await startOrders(other), await startOrders(other)];
    const forgetful = await startOrders(other, { 'lifespan=300': 'lifespan=1' });
    for (const one of [known, forgetful]) expect(await statusOf(tokens.access_token, one)).toBe(200);
    const { port } = new URL(other.origin);
    await other.stop();
    const strange = await forge({}, { kid: randomUUID() });
    expect([401, 503]).toContain(await statusOf(strange, known));
    expect(await statusOf(tokens.access_token, known)).toBe(200);
    const answer = await send(unknown.host, bearer(tokens.access_token));
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect(await statusOf(tokens.access_token, unknown), 'and again').toBe(503);
    // Five minutes later, were they not made a second.
    await expect.poll(() => statusOf(tokens.access_token, forgetful), { timeout: 10_000 }).toBe(503);
    const again = await gatehouse.another({ PORT: port });
    await expect.poll(() => statusOf(tokens.access_token, unknown), { timeout: 10_000 }).toBe(200);
    await again.stop();
    for (const { program } of [known, unknown, forgetful]) await program.kill('SIGTERM');
  });
});
