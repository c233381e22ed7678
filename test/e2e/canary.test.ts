import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { CanaryFailed, measureLogouts } from '../../src/commands/logout-canary.js';
import { runCommand, type CommandResult } from '../support/command.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { freePort, isDatabaseServer, temporaryFolder } from '../support/server-process.js';
import { makeService, type Service } from '../support/service-client.js';

// Every command is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

/** Says nothing about the database. */
const testOnce: typeof test = isDatabaseServer() ? ((() => {}) as never) : test;

let gatehouse: Gatehouse;
let service: Service;
let account: Account;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  service = await makeService(gatehouse);
  account = await gatehouse.signUp(newAccount());
});
afterAll(() => gatehouse.stop());

function fileOf(text: string): string {
  const path = join(temporaryFolder(), 'secret');
  writeFileSync(path, `${text}\n`);
  return path;
}

function canary(password: string, ...args: string[]): Promise<CommandResult> {
  const person = ['--email', account.email, '--password-file', fileOf(password)];
  return runCommand(gatehouse, 'canary:logout', ...person, ...args);
}

// Proves ASVS 7.4.1: an auditor can measure how long a token is accepted after its logout
test('the time until a token is refused is measured, at an instance and at a verifier', async () => {
  const client = ['--client-id', service.id, '--client-secret-file', fileOf(service.secret)];
  const args = ['--url', gatehouse.origin, ...client, '--rounds', '3', '--json'];
  const { code, stdout, stderr } = await canary(account.password, ...args);
  expect([code, stderr]).toEqual([0, []]);
  const [api, verifier] = stdout.map((line) => JSON.parse(line));
  expect(api).toEqual({ place: gatehouse.origin, rounds: 3, median_ms: 0, p99_ms: 0, max_ms: 0 });
  expect(verifier).toMatchObject({ place: `verifier 1 (${gatehouse.origin})`, rounds: 3 });
  for (const name of ['median_ms', 'p99_ms', 'max_ms']) expect(verifier[name]).toBeGreaterThanOrEqual(0);
});

testOnce('what keeps it from measuring is said', async () => {
  expect(await canary('not the right one', '--url', gatehouse.origin)).toEqual({
    code: 1,
    stdout: [],
    stderr: [`${gatehouse.origin}/auth/login answers 401.`],
  });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  expect(await canary(account.password, '--url', nobody)).toEqual({
    code: 1,
    stdout: [],
    stderr: [`${nobody}/auth/login does not answer (ECONNREFUSED).`],
  });
  expect((await canary(account.password, '--rounds', '0')).code).toBe(2);
});

/** What answers every check of a token with this status. */
async function placeThatAnswers(status: number): Promise<string> {
  const server: Server = createServer((_, response) => response.writeHead(status).end());
  onTestFinished(() => void server.close().closeAllConnections());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

testOnce('a place that never refuses is a failure, and no figure', async () => {
  const deaf = await placeThatAnswers(204);
  const args = ['--url', gatehouse.origin, deaf, '--timeout', '1', '--rounds', '5'];
  const told = await canary(account.password, ...args);
  expect([told.code, told.stderr]).toEqual([1, [`Accepted 1 seconds after its logout still: by ${deaf}.`]]);
  expect(told.stdout).toEqual([
    `${gatehouse.origin}: median 0 ms, p99 0 ms, longest 0 ms, of 1 logouts`,
    `${deaf}: median never, p99 never, longest never, of 1 logouts`,
  ]);
});

testOnce('a round that fails leaves no session', async () => {
  const { email, password } = account;
  const urls = [gatehouse.origin, await placeThatAnswers(401)];
  const measuring = measureLogouts({ urls, email, password, verifiers: [], rounds: 1, giveUpMs: 1_000 });
  await expect(measuring).rejects.toThrow(CanaryFailed);
  expect(await gatehouse.sql('SELECT id FROM sessions WHERE ended_at IS NULL')).toEqual([]);
});
