import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DataSource } from 'typeorm';
import { expect, inject, onTestFinished } from 'vitest';
import { loadConfig, type Environment } from '../../src/config/load-config.js';
import { createDataSource } from '../../src/database/data-source.js';
import { Client, createDatabase } from './gatehouse.js';

const PATIENCE_MS = 30_000;

/** How a process ended: an exit code, or the signal that killed it. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A program of dist/ in a process of its own, as an operator runs it. */
export class Program {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  /** Resolves when the process is gone and its last line has been read. */
  readonly ended: Promise<Ending>;
  private ending: Ending | undefined;
  private readonly news = new EventEmitter();

  constructor(private readonly child: ChildProcess) {
    this.collect(child.stdout, this.stdout);
    this.collect(child.stderr, this.stderr);
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.ending = { code, signal };
        this.news.emit('news');
        resolve(this.ending);
      });
    });
  }

  get isRunning(): boolean {
    return this.ending === undefined;
  }

  /** Its standard input, where it was started with one. */
  get stdin(): Writable {
    if (!this.child.stdin) throw new Error('It was started without standard input.');
    return this.child.stdin;
  }

  /** Everything it has written so far. */
  get output(): string {
    return [...this.stdout, ...this.stderr].join('\n');
  }

  /** Its first line that matches, as soon as there is one. Fails when the process ends without. */
  async line(pattern: RegExp): Promise<string> {
    const timeout = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const found = [...this.stdout, ...this.stderr].find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (!this.isRunning) throw new Error(`It ended without a line like ${pattern}:\n${this.output}`);
      await once(this.news, 'news', { signal: timeout }).catch(() => {
        throw new Error(`No line like ${pattern} in ${PATIENCE_MS} ms:\n${this.output}`);
      });
    }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ending> {
    this.child.kill(signal);
    return this.ended;
  }

  private collect(stream: Readable | null, lines: string[]): void {
    if (!stream) return;
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      this.news.emit('news');
    });
  }
}

/** A server in a process of its own that answers requests. */
export class ServerProcess extends Client {
  constructor(
    origin: string,
    readonly program: Program,
  ) {
    super(origin);
  }

  /** Ends it as a supervisor does, and fails unless it goes in good order and has kept the secrets of this client. */
  async stop(): Promise<void> {
    expect(await this.program.kill('SIGTERM'), this.program.output).toEqual({ code: 0, signal: null });
    for (const secret of this.secrets)
      expect(this.program.output.includes(secret), 'a secret is in the output').toBe(false);
  }
}

/** How a program is started. */
export interface RunOptions {
  args?: string[];
  /** An empty folder by default. */
  cwd?: string;
  /** Nothing to read by default. */
  stdin?: 'ignore' | 'pipe';
}

/**
 * Starts `dist/src/<name>.js` with exactly this environment, in an empty folder unless one is given. It is killed when the
 * test that started it is over, however that ends.
 */
export function run(
  name: 'main' | 'cli',
  env: Environment,
  { args = [], cwd = temporaryFolder(), stdin = 'ignore' }: RunOptions = {},
): Program {
  const child = spawn(process.execPath, [scriptOf(name), ...args], { env, cwd, stdio: [stdin, 'pipe', 'pipe'] });
  const program = new Program(child);
  onTestFinished(() => void (program.isRunning && program.kill()));
  return program;
}

function scriptOf(name: 'main' | 'cli'): string {
  const script = fileURLToPath(new URL(`../../dist/src/${name}.js`, import.meta.url));
  if (!existsSync(script)) throw new Error(`${script} is not there: npm run build`);
  return script;
}

/** An operator command in front of somebody who reads and types. */
export class Terminal {
  /** Everything it has shown, control characters too. */
  text = '';
  readonly ended: Promise<Ending>;
  private readonly child: ChildProcess;

  constructor(env: Environment, ...args: string[]) {
    const command = [process.execPath, scriptOf('cli'), ...args];
    // `script` gives a program a terminal. It is a part of util-linux, and of macOS with other arguments.
    const quoted = command.map((word) => `'${word}'`).join(' ');
    const words = process.platform === 'darwin' ? ['-q', '/dev/null', ...command] : ['-qefc', quoted, '/dev/null'];
    this.child = spawn('script', words, { env: { PATH: process.env['PATH'], ...env }, cwd: temporaryFolder() });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (data) => (this.text += data));
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject); // there is no such program: the test fails and says so
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  type(keys: string): void {
    this.child.stdin?.write(keys);
  }

  async shows(pattern: RegExp): Promise<void> {
    await Promise.race([until(() => pattern.test(this.text)), this.ended]);
    expect(this.text).toMatch(pattern);
  }
}

/** Runs an operator command to its end. */
export async function runCli(env: Environment, ...args: string[]): Promise<Ending & { program: Program }> {
  const program = run('cli', env, { args });
  return { ...(await program.ended), program };
}

/** The server that a program is, once it answers. */
export async function serverOf(program: Program): Promise<ServerProcess> {
  // The line itself is JSON in production and coloured prose in development.
  const line = await program.line(/listening/);
  const origin = /http:\/\/[\w.]+:\d+/.exec(line)?.[0];
  if (origin === undefined) throw new Error(`There is no address in: ${line}`);
  const server = new ServerProcess(origin, program);
  await until(async () => (await server.get('/health/live')).status === 200);
  return server;
}

export function startServer(env: Environment, options: { cwd?: string } = {}): Promise<ServerProcess> {
  return serverOf(run('main', env, options));
}

/** Asks again and again until the answer is yes. For what another process does, which tells nobody when it is done. */
export async function until(check: () => Promise<boolean> | boolean, intervalMs = 20): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !(await check()); await sleep(intervalMs)) {
    if (Date.now() > deadline) throw new Error(`It did not happen in ${PATIENCE_MS} ms: ${check.toString()}`);
  }
}

/** An empty folder that goes with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-process-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The address of an empty database that goes with the test. */
export async function temporaryDatabase(): Promise<string> {
  const { url, drop } = await createDatabase();
  onTestFinished(drop);
  return url;
}

/** A look into a database beside the servers that use it, until the test is over. */
export async function lookInto(databaseUrl: string): Promise<DataSource> {
  const config = loadConfig({ NODE_ENV: 'test', DATABASE_URL: databaseUrl }, { serves: false });
  const dataSource = await createDataSource(config).initialize();
  onTestFinished(() => dataSource.destroy());
  return dataSource;
}

/** Whether the project's database is a server, which several processes can share and which may be away. */
export const isDatabaseServer = (): boolean => inject('databaseServer') !== '';

/** A loopback port on which nobody listens. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
