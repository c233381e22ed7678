import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import mysql from 'mysql2/promise';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import passport from 'passport';
import { DataSource, IsNull, LessThanOrEqual, Not } from 'typeorm';
import { expect, inject, onTestFinished, vi } from 'vitest';
import { createApp } from '../../src/app.setup.js';
import { MailRequest } from '../../src/auth/mail-request.entity.js';
import { MailRequestWorker } from '../../src/auth/account/mail-request.worker.js';
import { LocalStrategy } from '../../src/auth/login.guard.js';
import { Clock } from '../../src/common/clock.js';
import { createLogger } from '../../src/common/logger.js';
import { Config } from '../../src/config/config.js';
import { loadConfig, type Environment } from '../../src/config/load-config.js';
import { OutboxMessage } from '../../src/mail/outbox-message.entity.js';
import { OutboxWorker } from '../../src/mail/outbox.worker.js';
import { startSmtp, type CaughtMail, type Smtp } from './smtp.js';

/** A database of one test file, empty, and gone when the file is done. */
export interface EmptyDatabase {
  /** What goes into DATABASE_URL. */
  url: string;
  drop(): Promise<void>;
}

export async function createDatabase(): Promise<EmptyDatabase> {
  const server = inject('databaseServer');
  if (server === '') {
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-sqlite-'));
    return {
      url: `sqlite:${join(folder, 'test.sqlite')}`,
      drop: async () => rmSync(folder, { recursive: true, force: true }),
    };
  }
  const name = `gatehouse_test_${randomBytes(6).toString('hex')}`;
  await onServer(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => onServer(server, `DROP DATABASE ${name}`) };
}

async function onServer(server: string, statement: string): Promise<void> {
  const connection = await mysql.createConnection(server);
  await connection.query(statement);
  await connection.end();
}

/** One answer, its JSON parsed where there is any. */
export interface Answer<T = any> {
  status: number;
  headers: Headers;
  text: string;
  body: T;
}

export interface RequestOptions {
  token?: string;
  json?: unknown;
  /** Sent as it is, instead of `json`. */
  raw?: string | Uint8Array;
  headers?: Record<string, string>;
}

export interface Account {
  email: string;
  password: string;
}

export interface Tokens {
  access_token: string;
  token_type: string;
  expires_in: number;
  refresh_token: string;
  refresh_expires_in: number;
  /** Of a login only. */
  device_token?: string;
}

/** HTTP against a started server. Remembers every secret that went over it and every error that came back. */
export class Client {
  readonly secrets = new Set<string>();
  readonly errorBodies: string[] = [];

  constructor(readonly origin: string) {}

  async request<T = any>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<T>> {
    const { token, json, raw, headers = {} } = options;
    const body = raw ?? (json === undefined ? undefined : JSON.stringify(json));
    this.remember(json);
    const response = await fetch(this.origin + path, {
      method,
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(json !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: body as string }),
      redirect: 'manual',
    });
    const text = await response.text();
    if (response.status >= 400) this.errorBodies.push(text);
    const isJson = text !== '' && /json/.test(response.headers.get('content-type') ?? '');
    const answer = {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? JSON.parse(text) : undefined) as T,
    };
    this.remember(answer.body);
    return answer;
  }

  get = <T = any>(path: string, options?: RequestOptions) => this.request<T>('GET', path, options);
  post = <T = any>(path: string, json?: unknown, options?: RequestOptions) =>
    this.request<T>('POST', path, { ...options, ...(json !== undefined && { json }) });
  put = <T = any>(path: string, json: unknown, options?: RequestOptions) =>
    this.request<T>('PUT', path, { ...options, json });
  delete = <T = any>(path: string, options?: RequestOptions) => this.request<T>('DELETE', path, options);

  private remember(value: unknown): void {
    for (const name of [
      'password',
      'current_password',
      'new_password',
      'token',
      'access_token',
      'refresh_token',
      'device_token',
    ]) {
      const secret = (value as Record<string, unknown> | null | undefined)?.[name];
      if (typeof secret === 'string' && secret.length >= 15) this.secrets.add(secret);
    }
  }

  /** A new person with an account. The password is nobody else's, so that it can be found where it must not be. */
  async signUp(account: Partial<Account> = {}, options?: RequestOptions): Promise<Account & { id: string }> {
    const full = newAccount(account);
    const { status, body, text } = await this.post('/auth/signup', full, options);
    expect(status, text).toBe(201);
    return { ...full, id: body.id };
  }

  async logIn({ email, password }: Account, options?: RequestOptions): Promise<Tokens> {
    const { status, body, text } = await this.post<Tokens>('/auth/login', { email, password }, options);
    expect(status, text).toBe(200);
    return body;
  }

  async signUpAndLogIn(): Promise<Tokens> {
    return this.logIn(await this.signUp());
  }
}

export function newAccount(account: Partial<Account> = {}): Account {
  const unique = randomBytes(6).toString('hex');
  return { email: `ada.${unique}@example.com`, password: `violet kettle ${unique}`, ...account };
}

/** A running instance inside the test process, on a port of its own. */
export class Gatehouse extends Client {
  private offsetMs = 0;
  private afterStop = () => {};

  constructor(
    readonly app: NestFastifyApplication,
    origin: string,
    readonly env: Environment,
    readonly logLines: string[],
    readonly smtp: Smtp | undefined,
    private readonly database: EmptyDatabase | undefined,
  ) {
    super(origin);
    const clock = app.get(Clock);
    clock.now = () => new Date(Date.now() + this.offsetMs);
  }

  /** Lets so many seconds pass for this instance. */
  passSeconds(seconds: number): void {
    this.offsetMs += seconds * 1000;
  }

  /**
   * Stops the clock of this instance until the test is over: no time passes by itself, however slow the machine is.
   *
   * @returns what sets it, in milliseconds since the epoch.
   */
  stopClock(): (ms: number) => void {
    const clock = this.app.get(Clock);
    const stoppedAt = clock.now().getTime();
    const now = vi.spyOn(clock, 'now').mockImplementation(() => new Date(stoppedAt));
    onTestFinished(() => now.mockRestore());
    return (ms) => void now.mockImplementation(() => new Date(ms));
  }

  get issuer(): string {
    return this.app.get(Config).issuer;
  }

  /** The `aud` of the tokens. */
  get audience(): string {
    return this.app.get(Config).audience;
  }

  get dataSource(): DataSource {
    return this.app.get(DataSource);
  }

  /**
   * Every mail that is due to this address by now, in the order in which they were stored: several are sent at once, so
   * they arrive in any order. The Message-ID begins with a UUIDv7.
   */
  async mails(to: string): Promise<CaughtMail[]> {
    if (!this.smtp) throw new Error('this instance has an SMTP server of the test');
    await this.sendMails();
    const mails = this.smtp.messages.filter((mail) => mail.to.includes(to));
    return mails.sort((one, other) => (one.messageId < other.messageId ? -1 : 1));
  }

  /** The newest mail to this address whose subject fits. */
  async mail(to: string, subject: RegExp): Promise<CaughtMail> {
    const mails = await this.mails(to);
    const found = mails.findLast((mail) => subject.test(mail.subject));
    if (!found) throw new Error(`No mail like ${subject}, but: ${mails.map((mail) => mail.subject).join(', ')}`);
    return found;
  }

  /** The token of the link in the newest mail to this address whose subject fits. */
  async mailedToken(to: string, subject: RegExp): Promise<string> {
    const token = /#token=([\w-]{43})$/m.exec((await this.mail(to, subject)).text)?.[1];
    if (!token) throw new Error('The mail has no link.');
    this.secrets.add(token);
    return token;
  }

  /** Lets the workers do what is due, without waiting for their next round. */
  async sendMails(): Promise<void> {
    for (;;) {
      await this.app.get(MailRequestWorker).answerAll();
      await this.app.get(OutboxWorker).deliverDue();
      // A round that was under way may have taken some of it. What was stored at a later time of this clock is not due.
      const isUnderWay = { nextAttemptAt: Not(IsNull()), createdAt: LessThanOrEqual(this.app.get(Clock).now()) };
      const waiting = await this.dataSource.manager.countBy(OutboxMessage, isUnderWay);
      if (waiting + (await this.dataSource.manager.count(MailRequest)) === 0) return;
      await sleep(10);
    }
  }

  /** Rows as the driver gives them. */
  sql<T = any>(statement: string, parameters: unknown[] = []): Promise<T[]> {
    return this.dataSource.query(statement, parameters);
  }

  /** Another instance on the same database, with the same secrets. */
  async another(overrides: Environment = {}): Promise<Gatehouse> {
    const other = await launch({ ...this.env, ...overrides }, this.smtp);
    // passport keeps one strategy per name and process: the newest instance's. Give it back when that one has gone.
    other.afterStop = () => passport.use(this.app.get(LocalStrategy));
    return other;
  }

  // Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
  /** Ends the instance, and fails when a secret of this file stands in a log line or an error body. */
  async stop(): Promise<void> {
    await this.app.close();
    if (this.database) await this.smtp?.stop();
    await this.database?.drop();
    this.afterStop();
    for (const secret of this.secrets) {
      // JSON escapes nothing in our secrets, so a plain search finds them.
      const leak = [...this.logLines, ...this.errorBodies].find((line) => line.includes(secret));
      expect(leak, 'a secret is in a log line or an error body').toBeUndefined();
    }
  }
}

/** A running instance on a database of its own. */
export async function startGatehouse(overrides: Environment = {}): Promise<Gatehouse> {
  const database = await createDatabase();
  const smtp = await startSmtp();
  return launch({ ...baseEnvironment(database.url), SMTP_URL: smtp.url, ...overrides }, smtp, database);
}

/** Cheap hashes and no waiting; the floors of production are tested where they are the subject. */
export function baseEnvironment(databaseUrl: string): Environment {
  return {
    NODE_ENV: 'test',
    DATABASE_URL: databaseUrl,
    DATABASE_POOL_SIZE: '10',
    MASTER_KEY: randomBytes(32).toString('base64'),
    BCRYPT_COST: '4',
    HASH_CONCURRENCY: '1',
    PORT: '0',
    METRICS_PORT: '0',
    RATE_LIMITS: 'off',
    LOG_LEVEL: 'debug',
  };
}

async function launch(env: Environment, smtp?: Smtp, database?: EmptyDatabase): Promise<Gatehouse> {
  const config = loadConfig(env);
  const logLines: string[] = [];
  const destination = { write: (line: string) => void logLines.push(line) };
  const app = await createApp(config, createLogger({ level: config.logLevel, isPretty: false, destination }));
  await app.listen({ host: '127.0.0.1', port: config.port });
  const { port } = app.getHttpServer().address() as { port: number };
  return new Gatehouse(app, `http://127.0.0.1:${port}`, env, logLines, smtp, database);
}
