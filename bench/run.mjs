// Measures what a checked request costs, as a ratio to a bare Nest route in the same run. See README.md beside this file.
import autocannon from 'autocannon';
import { fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';

const SECONDS = Number(process.env.BENCH_SECONDS ?? 6);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const TOKENS = 1_000;
const CONNECTIONS = 50;
const PASSWORD = 'violet kettle gravel';

// SQLite's file, when no DATABASE_URL names a server: never the one that `npm start` uses.
const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
process.on('exit', () => rmSync(dataDir, { recursive: true, force: true }));

const environment = (overrides) => ({
  ...process.env,
  NODE_ENV: 'test',
  LOG_LEVEL: 'warn',
  PORT: '0',
  METRICS_PORT: '0',
  RATE_LIMITS: 'off',
  DATA_DIR: dataDir,
  MASTER_KEY: createHash('sha256').update('bench').digest('base64'), // the same, so that a database can be used again
  ...overrides,
});

function startServer(kind, env) {
  const child = fork(new URL('./server.mjs', import.meta.url), [kind], { env });
  return new Promise((resolve, reject) => {
    child.once('message', ({ port }) =>
      resolve({ origin: `http://127.0.0.1:${port}`, stop: () => child.kill('SIGKILL') }),
    );
    child.once('exit', (code) => reject(new Error(`the ${kind} server ended with ${code}`)));
  });
}

async function post(origin, path, body) {
  const response = await fetch(origin + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** So many sessions of so many people, ten each: that is the limit. */
async function makeTokens(origin, count) {
  const tokens = [];
  while (tokens.length < count) {
    const email = `bench.${randomBytes(8).toString('hex')}@example.com`;
    await post(origin, '/auth/signup', { email, password: PASSWORD });
    for (let i = 0; i < 10; i++)
      tokens.push((await post(origin, '/auth/login', { email, password: PASSWORD })).access_token);
  }
  return tokens;
}

/** Every connection goes through all the tokens, each from another start. */
function load(origin, path, tokens, options = {}) {
  const requests = tokens.map((token) => ({ method: 'GET', path, headers: { authorization: `Bearer ${token}` } }));
  let next = 0;
  return autocannon({
    url: origin,
    connections: CONNECTIONS,
    duration: SECONDS,
    ...options,
    setupClient: (client) => {
      const start = (next++ * 20) % requests.length;
      client.setRequests([...requests.slice(start), ...requests.slice(0, start)]);
    },
  });
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value) => Math.round(value * 100) / 100;

function expectAllOk(result) {
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused, ${result.errors} failed`);
}

/** Requests per second of a checked route : of a bare one, alternating. */
async function check(path) {
  const bare = await startServer('bare', environment({}));
  const gatehouse = await startServer('gatehouse', environment({ BCRYPT_COST: '4' }));
  try {
    const tokens = await makeTokens(gatehouse.origin, TOKENS);
    await load(gatehouse.origin, path, tokens, { duration: 2 });
    await load(bare.origin, '/probe', tokens, { duration: 2 });
    const ratios = [];
    for (let i = 0; i < ROUNDS; i++) {
      const ours = await load(gatehouse.origin, path, tokens);
      const limit = await load(bare.origin, '/probe', tokens);
      expectAllOk(ours);
      ratios.push({
        ratio: ours.requests.average / limit.requests.average,
        ours: ours.requests.average,
        bare: limit.requests.average,
      });
    }
    return ratios;
  } finally {
    gatehouse.stop();
    bare.stop();
  }
}

/** p99 of checks at 300 a second during 32 concurrent logins : the same when idle. And whether every login succeeded. */
async function storm() {
  const gatehouse = await startServer('gatehouse', environment({}));
  try {
    const tokens = await makeTokens(gatehouse.origin, 10);
    const email = `bench.${randomBytes(8).toString('hex')}@example.com`;
    await post(gatehouse.origin, '/auth/signup', { email, password: PASSWORD });
    const checks = { connections: 10, overallRate: 300 };
    const rounds = [];
    for (let i = 0; i < ROUNDS; i++) {
      const idle = await load(gatehouse.origin, '/probe', tokens, checks);
      const stop = Date.now() + (SECONDS + 1) * 1000;
      let logins = 0;
      const people = Array.from({ length: 32 }, async () => {
        while (Date.now() < stop) {
          await post(gatehouse.origin, '/auth/login', { email, password: `${PASSWORD}` });
          logins++;
        }
      });
      const busy = await load(gatehouse.origin, '/probe', tokens.slice(-1), checks);
      await Promise.all(people);
      expectAllOk(idle);
      rounds.push({
        ratio: busy.latency.p99 / idle.latency.p99,
        busy_p99_ms: busy.latency.p99,
        idle_p99_ms: idle.latency.p99,
        logins,
      });
    }
    return rounds;
  } finally {
    gatehouse.stop();
  }
}

const database = (process.env.DATABASE_URL ?? '').startsWith('mysql:') ? 'MySQL' : 'SQLite';
const scenarios = { check: () => check('/probe'), open: () => check('/open'), me: () => check('/users/me'), storm };
const wanted = process.argv.slice(2);
const report = {
  database,
  cores: cpus().length,
  node: process.version,
  seconds: SECONDS,
  rounds: ROUNDS,
  scenarios: {},
};
console.log(`| scenario | ratio (median of ${ROUNDS}) | each round |\n| --- | --- | --- |`);
for (const [name, run] of Object.entries(scenarios)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const results = await run();
  report.scenarios[name] = { ratio: round(median(results.map(({ ratio }) => ratio))), rounds: results };
  const each = results.map((one) =>
    JSON.stringify(one, (_, value) => (typeof value === 'number' ? round(value) : value)),
  );
  console.log(`| ${name} | ${report.scenarios[name].ratio} | ${each.join('<br>')} |`);
}
writeFileSync(new URL('./result.json', import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
