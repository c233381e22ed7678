import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Environment } from '../../src/config/load-config.js';
import { migrations } from '../../src/database/migrations.js';
import { baseEnvironment, newAccount } from '../support/gatehouse.js';
import {
  freePort,
  isDatabaseServer,
  lookInto,
  run,
  runCli,
  serverOf,
  startServer,
  temporaryDatabase,
  temporaryFolder,
  until,
} from '../support/server-process.js';

// Every program is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

const MIGRATIONS = migrations.map(({ name }) => name);
const randomKey = () => randomBytes(32).toString('base64');

// A skipped test is one that was not run; what needs a database server is not even registered where there is none. What
// ends before it has looked at any database need not end once for each.
const nothing = Object.assign(() => {}, { each: () => () => {} }) as unknown as typeof test;
const testWithServer = isDatabaseServer() ? test : nothing;
const testWithoutServer = isDatabaseServer() ? nothing : test;

testWithoutServer('the first start needs nothing, and the second finds what the first made', async () => {
  const folder = temporaryFolder();
  const first = await startServer({ PORT: '0', METRICS_PORT: '0' }, { cwd: folder });
  const modeOf = (path: string) => statSync(join(folder, path)).mode & 0o777;
  expect(modeOf('.data')).toBe(0o700);
  expect(modeOf('.data/master.key')).toBe(0o600);
  expect(existsSync(join(folder, '.data/gatehouse.sqlite'))).toBe(true);
  const key = readFileSync(join(folder, '.data/master.key'), 'utf8');

  await first.program.line(new RegExp(`${first.origin}/docs$`));
  expect((await first.get('/docs')).text).toContain('swagger-ui');
  expect((await first.get('/health/ready')).status).toBe(200);

  await first.program.line(/-d '/);
  const curl = /curl -sS (\S+) -H '([^:]+): ([^']+)' \\\n +-d '([^']+)'/.exec(first.program.output);
  const [, address = '', header = '', value = '', raw = ''] = curl ?? [];
  expect(address, first.program.output).toContain(first.origin);
  const { status } = await first.post(new URL(address).pathname, undefined, { raw, headers: { [header]: value } });
  expect(status).toBe(201);

  const account = await first.signUp();
  const before = await first.logIn(account);
  await first.stop();

  const second = await startServer({ PORT: '0', METRICS_PORT: '0' }, { cwd: folder });
  await second.logIn(account);
  expect((await second.get('/users/me', { token: before.access_token })).status).toBe(200);
  expect((await second.post('/auth/refresh', { refresh_token: before.refresh_token })).status).toBe(200);
  expect(readFileSync(join(folder, '.data/master.key'), 'utf8')).toBe(key);
  await second.stop();
});

const PRODUCTION = {
  NODE_ENV: 'production',
  MASTER_KEY: randomKey(),
  DATABASE_URL: 'mysql://canary:canary@127.0.0.1:1/c',
  EMAIL_VERIFICATION: 'none',
};

// Proves ASVS 6.2.1: no minimum below 12 characters in production
// Proves ASVS 11.4.2, CS Password Storage: hashes are bcrypt over a pre-hash that leaves nothing out, of cost 12, in production at least 10
// Proves ASVS 13.3.1, PCI 8.6.2, CS Docker #12: secrets come from files, and no value of one is ever printed
// Proves ASVS 13.3.1: production does not start on placeholders, SQLite or values below a floor
testWithoutServer.each<[string, Environment, string[]]>([
  [
    'everything at once',
    {
      NODE_ENV: 'production',
      MASTER_KEY: 'change-me-canary',
      DATABASE_URL: 'sqlite:canary.sqlite',
      BCRYPT_COST: '9',
      ACCESS_TOKEN_TTL_SECONDS: '59',
      PASSWORD_MIN_LENGTH: '11',
      ISSUER: 'http://canary-issuer.example',
      PUBLIC_URL: 'http://canary-public.example',
      TRUST_PROXY: 'true',
    },
    [
      'ACCESS_TOKEN_TTL_SECONDS',
      'BCRYPT_COST',
      'DATABASE_URL',
      'EMAIL_VERIFICATION',
      'ISSUER',
      'MASTER_KEY',
      'PASSWORD_MIN_LENGTH',
      'PUBLIC_URL',
      'TRUST_PROXY',
    ],
  ],
  [
    'no secrets, every proxy',
    { NODE_ENV: 'production', TRUST_PROXY: '0.0.0.0/0' },
    ['DATABASE_URL', 'EMAIL_VERIFICATION', 'MASTER_KEY', 'TRUST_PROXY'],
  ],
  ['a short key', { ...PRODUCTION, MASTER_KEY: randomBytes(31).toString('base64') }, ['MASTER_KEY']],
  [
    'a key of one byte repeated',
    { ...PRODUCTION, MASTER_KEY: Buffer.alloc(32, 0x61).toString('base64') },
    ['MASTER_KEY'],
  ],
  ['a good key and then a bad one', { ...PRODUCTION, MASTER_KEY: `${randomKey()},canary` }, ['MASTER_KEY']],
  [
    'words for numbers',
    {
      ...PRODUCTION,
      BCRYPT_COST: 'canary-12',
      ACCESS_TOKEN_TTL_SECONDS: '300s-canary',
      DATABASE_URL: 'canary://x:y@z/d',
    },
    ['ACCESS_TOKEN_TTL_SECONDS', 'BCRYPT_COST', 'DATABASE_URL'],
  ],
])('production refuses to boot: %s', async (_, env, names) => {
  const folder = temporaryFolder();
  const program = run('main', env, { cwd: folder });
  expect(await program.ended).toEqual({ code: 1, signal: null });

  const [heading, ...reasons] = program.stderr;
  expect(heading).toBe('The configuration is refused:');
  const named = reasons.map((reason) => /^ {2}- ([A-Z_]+) \S/.exec(reason)?.[1]);
  expect([...new Set(named)].sort(), program.output).toEqual(names);
  expectNoValues(program.output, Object.values(env));
  expect(program.stdout).toEqual([]);
  expect(existsSync(join(folder, '.data')), 'nothing is made').toBe(false);
});

// Proves ASVS 13.3.1, PCI 8.6.2, CS Docker #12: secrets come from files, and no value of one is ever printed
testWithoutServer('production refuses a secret that is given twice, or in a file that is not there', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'key'), randomKey());
  const env = { ...PRODUCTION, MASTER_KEY_FILE: 'key', DATABASE_URL: '', DATABASE_URL_FILE: 'canary-missing' };
  const program = run('main', env, { cwd: folder });
  expect(await program.ended).toEqual({ code: 1, signal: null });
  expect(program.output).toContain('MASTER_KEY and MASTER_KEY_FILE are both set');
  expect(program.output).toContain('DATABASE_URL_FILE names a file that cannot be read (ENOENT)');
  expectNoValues(program.output, [env.MASTER_KEY, env.DATABASE_URL_FILE, readFileSync(join(folder, 'key'), 'utf8')]);
});

// Proves ASVS 13.3.1, PCI 8.6.2, CS Docker #12: secrets come from files, and no value of one is ever printed
test('secrets are read from the files that NAME_FILE names', async () => {
  const folder = temporaryFolder();
  const { MASTER_KEY, DATABASE_URL, ...env } = baseEnvironment(await temporaryDatabase());
  writeFileSync(join(folder, 'key'), `${MASTER_KEY}\n`);
  writeFileSync(join(folder, 'url'), `${DATABASE_URL}\n`);
  const files = { ...env, MASTER_KEY_FILE: 'key', DATABASE_URL_FILE: join(folder, 'url') };
  const byFile = await startServer(files, { cwd: folder });
  const account = await byFile.signUp();
  const { access_token: token } = await byFile.logIn(account);
  await byFile.stop();
  expect(existsSync(join(folder, '.data')), 'no key of its own').toBe(false);

  const byValue = await startServer({ ...env, MASTER_KEY, DATABASE_URL });
  expect((await byValue.get('/users/me', { token })).status).toBe(200);
  await byValue.stop();
});

testWithoutServer('a port that is in use is named', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const { port } = other.address() as { port: number };
  const program = run('main', { ...baseEnvironment(await temporaryDatabase()), PORT: String(port) });
  expect(await program.ended).toEqual({ code: 1, signal: null });
  expect(program.stderr).toEqual([
    `Gatehouse could not start: port ${port} of 127.0.0.1 is in use by another process (EADDRINUSE)`,
  ]);
});

testWithServer('production never migrates: it waits for the operator, and goes on without a restart', async () => {
  const url = await temporaryDatabase();
  const rows = await lookInto(url);
  const env = {
    NODE_ENV: 'production',
    DATABASE_URL: url,
    BCRYPT_COST: '10',
    PORT: '0',
    METRICS_PORT: '0',
    EMAIL_VERIFICATION: 'none',
  };
  const server = await startServer({ ...env, MASTER_KEY: randomKey() });
  const account = newAccount();

  // What the operator has chosen, in words.
  expect(await server.program.line(/"event":"email_verification"/)).toContain(
    'sign-up tells by 409 who has an account',
  );
  expect(await server.program.line(/"event":"no_mail"/)).toContain('nobody can recover a password');

  expect((await server.get('/health/live')).status).toBe(200);
  expect((await server.get('/health/ready')).status).toBe(503);
  for (const path of ['/auth/login', '/auth/signup']) {
    const { status, body } = await server.post(path, account);
    expect(status).toBe(503);
    expect(body.code).toBe('unavailable');
  }
  expect(await tablesOf(rows)).toEqual([]);

  const migrated = await runCli(env, 'migrate'); // which needs no master key
  expect(migrated.code, migrated.program.output).toBe(0);
  expect(appliedBy(migrated.program.stdout)).toEqual(MIGRATIONS);
  expect((await server.get('/health/ready')).status).toBe(200);
  expect((await server.post('/auth/signup', account)).status).toBe(201);
  await server.logIn(account);

  const again = await runCli(env, 'migrate');
  expect(again.code).toBe(0);
  expect(again.program.stdout).toEqual(['Nothing to do: no migration is pending.']);
  await server.stop();
});

test('two migrations at once: both succeed, and each step is applied by one of them', async () => {
  const url = await temporaryDatabase();
  const env = { NODE_ENV: 'test', DATABASE_URL: url };
  const both = await Promise.all([runCli(env, 'migrate'), runCli(env, 'migrate')]);
  for (const { code, program } of both) expect(code, program.output).toBe(0);
  expect(both.flatMap(({ program }) => appliedBy(program.stdout)).sort()).toEqual([...MIGRATIONS].sort());
  expect(await recordedIn(await lookInto(url))).toEqual(MIGRATIONS);
});

test('a migration that is killed half way is completed by the next', async () => {
  const startedAt = Date.now();
  const whole = await migratedDatabase();
  const wholeRunMs = Date.now() - startedAt;
  const expected = await schemaOf(await lookInto(whole));
  let halfWay = 0;

  for (let kill = 1; kill <= MIGRATIONS.length + 1; kill += 2) {
    const url = await temporaryDatabase();
    const rows = await lookInto(url);
    const program = run('cli', { NODE_ENV: 'test', DATABASE_URL: url }, { args: ['migrate'] });
    if (isDatabaseServer()) {
      await until(async () => !program.isRunning || (await tablesOf(rows)).length >= kill, 1);
      await sleep(Math.random() * 15);
    } else {
      // SQLite shows nothing of a transaction before its end; its few milliseconds are somewhere near the end of the run.
      await Promise.race([program.ended, sleep(wholeRunMs * (0.7 + 0.3 * Math.random()))]);
    }
    await program.kill();

    const applied = await recordedIn(rows);
    if ((await tablesOf(rows)).length > 0 && applied.length < MIGRATIONS.length) halfWay++;
    if (!isDatabaseServer()) expect([0, MIGRATIONS.length], 'all or nothing').toContain(applied.length);

    const next = await runCli({ NODE_ENV: 'test', DATABASE_URL: url }, 'migrate');
    expect(next.code, next.program.output).toBe(0);
    expect(appliedBy(next.program.stdout)).toEqual(MIGRATIONS.slice(applied.length));
    expect(await schemaOf(rows)).toEqual(expected);
    expect(await recordedIn(rows)).toEqual(MIGRATIONS);
  }
  if (isDatabaseServer()) expect(halfWay, 'no kill came half way: nothing was tested').toBeGreaterThan(0);
});

testWithServer('a database that comes later is waited for', async () => {
  const real = new URL(await temporaryDatabase());
  const port = await freePort();
  const url = new URL(real);
  url.port = String(port);
  const program = run('main', { ...baseEnvironment(url.href), DATABASE_POOL_SIZE: '2' });
  await program.line(/database_not_there_yet.*"wait_ms":500/);
  expect(program.isRunning).toBe(true);

  const proxy = createServer((client) => {
    const database = connect(Number(real.port), real.hostname);
    client.pipe(database).pipe(client);
    for (const [one, other] of [[client, database] as const, [database, client] as const]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  }).listen(port, '127.0.0.1');
  onTestFinished(() => void proxy.close());

  const server = await serverOf(program);
  await server.signUpAndLogIn();
  expect((await server.get('/health/ready')).status).toBe(200);
  await server.stop();
});

testWithServer('a wrong password ends the program at once, and is not told', async () => {
  const url = new URL(await temporaryDatabase());
  url.password = 'canary-wrong-password';
  const server = run('main', baseEnvironment(url.href));
  const command = run('cli', { NODE_ENV: 'test', DATABASE_URL: url.href }, { args: ['migrate'] });
  for (const program of [server, command]) {
    expect(await program.ended).toEqual({ code: 1, signal: null });
    expect(program.stderr.at(-1)).toContain(
      'the database refuses the user or the password of DATABASE_URL (ER_ACCESS_DENIED_ERROR)',
    );
    expect(program.output).not.toContain('database_not_there_yet');
    expectNoValues(program.output, ['canary-wrong-password']);
  }
});

/** Fails when one of the values is in the text as a word of its own. */
function expectNoValues(text: string, values: (string | undefined)[]): void {
  const words = text.split(/\n| {2}- [A-Z_]+ /).join('\n');
  for (const value of values) {
    if (!value || value === 'production') continue;
    const escaped = value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    expect(words).not.toMatch(new RegExp(`(?<!\\w)${escaped}(?!\\w)`));
  }
  expect(text).not.toMatch(/canary/i);
}

const appliedBy = (lines: string[]) => lines.flatMap((line) => /^applied (\S+)$/.exec(line)?.[1] ?? []);

async function migratedDatabase(): Promise<string> {
  const url = await temporaryDatabase();
  expect((await runCli({ NODE_ENV: 'test', DATABASE_URL: url }, 'migrate')).code).toBe(0);
  return url;
}

/** The names of the migrations that the database says it has had, in their order. */
async function recordedIn(rows: DataSource): Promise<string[]> {
  if (!(await tablesOf(rows)).includes('migrations')) return [];
  const names = await rows.query<{ name: string }[]>('SELECT name FROM migrations ORDER BY id');
  return names.map(({ name }) => name);
}

async function tablesOf(rows: DataSource): Promise<string[]> {
  const names = await rows.query<{ name: string }[]>(
    isDatabaseServer()
      ? 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name'
      : "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
  );
  return names.map(({ name }) => name);
}

/** Every table and index, as the statement that makes it. */
async function schemaOf(rows: DataSource): Promise<unknown> {
  if (!isDatabaseServer()) return rows.query('SELECT name, sql FROM sqlite_master ORDER BY name');
  const statements = [];
  for (const table of await tablesOf(rows)) {
    const [row] = await rows.query<Record<string, string>[]>(`SHOW CREATE TABLE ${table}`);
    statements.push(row?.['Create Table']?.replace(/ AUTO_INCREMENT=\d+/, ''));
  }
  return statements;
}
