import mysql from 'mysql2/promise';
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import type { DatabaseSource } from './databases.js';

declare module 'vitest' {
  interface ProvidedContext {
    database: DatabaseSource;
    /** Address of a server on which databases may be made; empty for SQLite. */
    databaseServer: string;
  }
}

/** vitest's global set-up of one project: starts a private server where the project wants one. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const source = project.getProvidedContext().database;
  if (source.kind === 'server') {
    const server = await startServer(source.binary);
    project.provide('databaseServer', server.url);
    return server.stop;
  }
  project.provide('databaseServer', source.kind === 'url' ? source.url : '');
  return async () => {};
}

/** A private MySQL or MariaDB on a free loopback port, in a folder of its own that goes with it. */
export async function startServer(
  binary: string,
  options: string[] = [],
): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-db-'));
  const data = join(folder, 'data');
  const isMariadb = binary.endsWith('mariadbd');
  // Both servers refuse to run as root.
  const user = userInfo().uid === 0 ? ['--user=mysql'] : [];
  if (user.length > 0) chownToMysql(folder);
  const initialise = isMariadb
    ? spawnSync('mariadb-install-db', [
        `--datadir=${data}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
        ...user,
      ])
    : spawnSync(binary, ['--no-defaults', '--initialize-insecure', `--datadir=${data}`, ...user]);
  if (initialise.status !== 0)
    throw new Error(`${binary} could not make its data folder: ${initialise.stderr.toString()}`);

  const port = await freePort();
  const server = spawn(
    binary,
    [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${join(folder, 'sock')}`,
      `--pid-file=${join(folder, 'pid')}`,
      '--bind-address=127.0.0.1',
      `--port=${port}`,
      '--innodb-flush-log-at-trx-commit=2', // nobody pulls the plug of a test database
      ...(isMariadb ? [] : ['--mysqlx=OFF']),
      ...options,
      ...user,
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => server.once('exit', resolve));
  const url = `mysql://root@127.0.0.1:${port}/mysql`;
  await untilItAnswers(url, server);
  return {
    url,
    stop: async () => {
      server.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function untilItAnswers(url: string, server: { exitCode: number | null }): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (server.exitCode !== null) throw new Error(`the database server ended with ${server.exitCode}`);
    try {
      return await (await mysql.createConnection(url)).end();
    } catch {
      await sleep(100);
    }
  }
  throw new Error('the database server did not answer in 30 s');
}

function chownToMysql(folder: string): void {
  const id = (flag: string) => Number(spawnSync('id', [flag, 'mysql'], { encoding: 'utf8' }).stdout);
  mkdirSync(join(folder, 'data'));
  for (const path of [folder, join(folder, 'data')]) chownSync(path, id('-u'), id('-g'));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
