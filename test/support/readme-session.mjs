// Runs the session of README.md against a started server and compares what comes out with what README.md says.
//   node test/support/readme-session.mjs http://127.0.0.1:3000
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const origin = process.argv[2] ?? 'http://127.0.0.1:3000';
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const session = /<!-- session -->\s*```console\n([^]*?)```/.exec(readme)?.[1];
if (!session) throw new Error('README.md has no session');

// What differs from run to run: ids, times, and the address, so that it can be run again on the same database.
const unique = `ada.${Date.now()}@example.com`;
const normalise = (/** @type {string} */ text) =>
  text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')
    .replaceAll(unique, 'ada@example.com')
    .replace(/\n+/g, '\n')
    .trim();

const lines = session.split('\n');
const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2));
const expected = lines.filter((line) => !line.startsWith('$ ')).join('\n');
const script = commands.map((command) => `${command}; echo`).join('\n');

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-readme-'));
const { stdout, stderr, status } = spawnSync('bash', ['-eu'], {
  cwd: folder,
  encoding: 'utf8',
  input: script.replaceAll('localhost:3000', new URL(origin).host).replaceAll('ada@example.com', unique),
});
rmSync(folder, { recursive: true });

if (status !== 0 || normalise(stdout) !== normalise(expected)) {
  console.error(
    `README.md says:\n${normalise(expected)}\n\nwhat came out (status ${status}):\n${normalise(stdout)}\n${stderr}`,
  );
  process.exit(1);
}
console.log(`The session of README.md: ${commands.length} commands did what it says.`);
