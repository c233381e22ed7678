import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCommand, type CommandResult } from '../support/command.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer, temporaryFolder } from '../support/server-process.js';
import { makeService, type Service } from '../support/service-client.js';

// Every command is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

/** It knows the service by its addresses alone. */
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

function canary(password: string, ...args: string[]): Promise<CommandResult> {
  const file = (name: string, text: string) => {
    const path = join(temporaryFolder(), name);
    writeFileSync(path, `${text}\n`);
    return path;
  };
  const issuer = ['--email', account.email, '--password-file', file('password', password)];
  const client = ['--client-id', service.id, '--client-secret-file', file('secret', service.secret)];
  return runCommand(gatehouse, 'canary:logout', ...issuer, ...client, ...args);
}

// Proves ASVS 7.4.1: an auditor can measure how long a token is accepted after its logout
testOnce('the time until a token is refused is measured, at an instance and at a verifier', async () => {
  const { code, stdout, stderr } = await canary(account.password, '--url', gatehouse.origin, '--rounds', '3', '--json');
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
  const nobody = await canary(account.password, '--url', 'http://127.0.0.1:9');
  expect(nobody).toMatchObject({ code: 1, stdout: [] });
  expect((await canary(account.password, '--rounds', '0')).code).toBe(2);
});
