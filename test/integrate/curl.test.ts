import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { example } from '../support/examples.js';
import type { Gatehouse } from '../support/gatehouse.js';
import { hostOf, startExampleGatehouse } from './support.js';

let gatehouse: Gatehouse;
let folder: string;
beforeAll(async () => {
  gatehouse = await startExampleGatehouse();
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-curl-'));
});
afterAll(async () => {
  await gatehouse?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What differs from run to run: ids, secrets, cursors and times. */
const normalised = (text: string) =>
  text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replace(/"client_secret":"[\w-]{43}"/g, '"client_secret":"<secret>"')
    .replace(/"cursor":"[\w-]{8}\.\d+"/g, '"cursor":"<cursor>"')
    .replace(/:\d{10}\b/g, ':<seconds>')
    .replace(/\n+/g, '\n')
    .trim();

function run(script: string, env: Record<string, string | undefined>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('bash', ['-eu'], { cwd: folder, env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
      else resolve(stdout);
    });
    child.stdin?.end(script);
  });
}

// Proves ours (Checking tokens): what docs/integrate.md shows is what happens
test('the session with curl does what docs/integrate.md says', async () => {
  const lines = example('curl', { '127.0.0.1:3000': hostOf(gatehouse) }).split('\n');
  const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => `${line.slice(2)}; echo`);
  const expected = lines.filter((line) => !line.startsWith('$ ')).join('\n');
  // The command of npm is one of this folder; the files that the session makes are not.
  const npm = `npm() { command npm --prefix '${process.cwd()}' "$@"; }`;
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...gatehouse.env, LOG_LEVEL: 'silent' };
  const output = await run([npm, ...commands].join('\n'), env);
  for (const [secret] of output.matchAll(/(?<="client_secret":")[\w-]{43}/g)) gatehouse.secrets.add(secret);
  expect(normalised(output)).toBe(normalised(expected));
  expect(commands.length).toBeGreaterThan(15);
});
