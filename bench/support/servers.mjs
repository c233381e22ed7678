// The processes that are measured.
import { execFile, fork, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url));
const CLI = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url));
const PROBES = new URL('../server.mjs', import.meta.url);
const START_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 5;

/**
 * Gatehouse's environment: `test`, because production takes no SQLite and no budgets that are off; warnings alone are
 * logged, because the bare route logs nothing.
 */
export function environmentOf({ env }, overrides = {}) {
  return {
    ...process.env,
    NODE_ENV: 'test',
    LOG_LEVEL: 'warn',
    METRICS_PORT: '0',
    PORT: '0',
    RATE_LIMITS: 'off',
    ACCESS_TOKEN_TTL_SECONDS: '900', // longer than any measurement
    MASTER_KEY: createHash('sha256').update('bench').digest('base64'),
    ...env,
    ...overrides,
  };
}

/** `npm start`'s process, ready. `startedInMs`: from its start to the first 200 of `/health/ready`. */
export async function startGatehouse(env) {
  const port = await freePort();
  const startedAt = performance.now();
  // In its own folder: a `.env` of whoever runs this is not part of what is measured.
  const child = spawn(process.execPath, [MAIN], {
    cwd: env.DATA_DIR,
    env: { ...env, PORT: String(port) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const server = { origin: `http://127.0.0.1:${port}`, pid: child.pid, env, stop: () => stop(child) };
  while (!(await answersOk(`${server.origin}/health/ready`))) {
    if (child.exitCode !== null) throw new Error(`Gatehouse ended with ${child.exitCode}`);
    if (performance.now() - startedAt > START_TIMEOUT_MS) {
      await stop(child);
      throw new Error('Gatehouse did not become ready');
    }
    await sleep(LOOK_EVERY_MS);
  }
  return { ...server, startedInMs: performance.now() - startedAt };
}

export const startWithProbes = (env) => startProbes('gatehouse', env);
export const startBare = () => startProbes('bare', process.env);

/** A client that may introspect tokens for `audience`. Returns its `client_id` and `client_secret`. */
export async function makeClient({ env }, audience) {
  const args = [CLI, 'client:create', 'bench', '--audience', audience, '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: env.DATA_DIR, env });
  return JSON.parse(stdout);
}

/** Resident memory in MB (2^20 bytes). */
export async function residentMb({ pid }) {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
  } catch {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]); // where there is no /proc
    return Number(stdout) / 1024;
  }
}

function startProbes(kind, env) {
  const child = fork(PROBES, [kind], { env });
  return new Promise((resolve, reject) => {
    child.once('message', ({ port }) =>
      resolve({ origin: `http://127.0.0.1:${port}`, pid: child.pid, env, stop: () => stop(child) }),
    );
    child.once('exit', (code) => reject(new Error(`the ${kind} server ended with ${code}`)));
  });
}

/** Killed: its database goes with it. */
async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function answersOk(url) {
  return new Promise((resolve) => {
    get(url, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}
