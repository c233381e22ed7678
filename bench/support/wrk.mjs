// Load by wrk, which needs a fraction of what a generator in JavaScript does, and leaves the rest to the server.
import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SCRIPT = fileURLToPath(new URL('./wrk.lua', import.meta.url));
/** As autocannon. */
const TIMEOUT_SECONDS = 10;

export const hasWrk = () => spawnSync('wrk', ['-v'], { stdio: 'ignore' }).error === undefined;

/** As `throughput` in load.mjs. All connections share one round through the requests. */
export async function wrkThroughput(origin, requests, { connections, seconds }) {
  await expectSuccess(origin, requests[0]);
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${Math.ceil(seconds)}s`,
    `--timeout=${TIMEOUT_SECONDS}s`,
    '-s',
    SCRIPT,
    origin,
  ];
  const output = await runWrk(args, requests.map((request) => asText(origin, request)).join('\0'), seconds);
  await expectSuccess(origin, requests.at(-1));
  const result = JSON.parse(output.trimEnd().split('\n').at(-1));
  if (result.refused > 0 || result.failed > 0) throw new Error(`${result.refused} refused, ${result.failed} failed`);
  return result.requests / (result.microseconds / 1e6);
}

/** wrk counts what is above 399 as refused, and does not tell a 204 from a 302. */
async function expectSuccess(origin, { path, ...request }) {
  const response = await fetch(origin + path, { ...request, redirect: 'manual' });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
}

function asText(origin, { method, path, headers, body = '' }) {
  const all = { host: new URL(origin).host, ...headers, ...(body && { 'content-length': Buffer.byteLength(body) }) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

/** Tokens come by standard input: a command line and a file are for others to read. */
async function runWrk(args, input, seconds) {
  const timeout = 1000 * (seconds + 2 * TIMEOUT_SECONDS);
  const running = promisify(execFile)('wrk', args, { timeout, killSignal: 'SIGKILL' });
  running.child.stdin.on('error', () => undefined); // it has ended: why is told below
  running.child.stdin.end(input);
  const { stdout, stderr } = await running.catch((error) => {
    const reason = error.killed ? 'did not end' : `ended with ${error.signal ?? error.code}`;
    throw new Error(`wrk ${reason}: ${error.stderr.trim()}`);
  });
  if (stderr) throw new Error(`wrk: ${stderr.trim()}`); // an error in a script does not end it
  return stdout;
}
