import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { example } from '../support/examples.js';
import type { Gatehouse, Tokens } from '../support/gatehouse.js';
import { freePort, until, type Program } from '../support/server-process.js';
import { makeService, type Service } from '../support/service-client.js';
import { bearer, claimsOf, hostOf, send, startExampleGatehouse, startProgram, stopPrograms } from './support.js';

let gatehouse: Gatehouse;
let client: Service;
let folder: string;
let orders: { program: Program; host: string };
let tokens: Tokens;
beforeAll(async () => {
  gatehouse = await startExampleGatehouse();
  client = await makeService(gatehouse);
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-verifier-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(resolve('dist/verifier'), join(folder, 'node_modules', 'gatehouse-verifier'));
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

/** The service of the example, in a process of its own: it listens when the verifier is ready. */
async function startOrders(its: { origin: string }): Promise<{ program: Program; host: string }> {
  const port = await freePort();
  const file = join(folder, `${port}.mjs`);
  const places = { '127.0.0.1:3000': hostOf(its), "8080, '127.0.0.1'": `${port}, '127.0.0.1'` };
  writeFileSync(file, example('verifier', places));
  const env = { GATEHOUSE_CLIENT_ID: client.id, GATEHOUSE_CLIENT_SECRET: client.secret };
  const host = `127.0.0.1:${port}`;
  return { program: await startProgram(process.execPath, [file], host, { env, cwd: folder }), host };
}

const statusOf = async (token: string, { host } = orders) => (await send(host, bearer(token))).status;

async function logOut(token: string): Promise<string> {
  const answer = await gatehouse.post('/auth/logout', undefined, { token });
  expect(answer.status).toBe(204);
  return answer.headers.get('revocation-cursor') as string;
}

// Proves ours (Checking tokens): what docs/integrate.md shows is what happens
describe('the service with the verifier', () => {
  test('is told whose a good token is', async () => {
    const answer = await send(orders.host, bearer(tokens.access_token));
    expect([answer.status, answer.text]).toEqual([200, `Orders of ${claimsOf(tokens.access_token)['sub']}\n`]);
  });

  test('refuses what is none, and a refresh token', async () => {
    for (const headers of [{}, bearer('x'), bearer(`${tokens.access_token}x`), bearer(tokens.refresh_token)]) {
      const answer = await send(orders.host, headers);
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer realm="orders"']);
    }
  });

  test('refuses a token in moments after its logout, and at once who brings the cursor of it', async () => {
    await logOut(tokens.access_token);
    const startedAt = performance.now();
    await until(async () => (await statusOf(tokens.access_token)) === 401, 1);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    for (let i = 0; i < 10; i++) {
      const { access_token: token } = await gatehouse.signUpAndLogIn();
      const cursor = await logOut(token);
      expect((await send(orders.host, { ...bearer(token), 'Min-Revocation-Cursor': cursor })).status).toBe(401);
    }
  });

  test('says 400 to what is no cursor', async () => {
    const headers = { ...bearer(tokens.access_token), 'Min-Revocation-Cursor': 'x' };
    expect((await send(orders.host, headers)).status).toBe(400);
  });

  test('goes on for some seconds when Gatehouse is down, and then says 503', async () => {
    const other = await gatehouse.another();
    const one = await startOrders(other);
    await other.stop();
    const stoppedAt = performance.now();
    expect(await statusOf(tokens.access_token, one)).toBe(200);
    await until(async () => (await statusOf(tokens.access_token, one)) === 503);
    expect(performance.now() - stoppedAt).toBeLessThan(7_000);
    await one.program.kill('SIGTERM');
  });
});
