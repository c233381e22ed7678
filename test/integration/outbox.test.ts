import { Logger } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { Metrics } from '../../src/metrics/metrics.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/common/clock.js';
import { createLogger, NestLogger } from '../../src/common/logger.js';
import { MasterKeys } from '../../src/common/master-keys.js';
import { loadConfig, type Environment } from '../../src/config/load-config.js';
import { createDataSource } from '../../src/database/data-source.js';
import { migrate } from '../../src/database/migrator.js';
import { inTransaction } from '../../src/database/transaction.js';
import { transportOf } from '../../src/mail/mail.module.js';
import type { Message } from '../../src/mail/messages.js';
import { OutboxMessage } from '../../src/mail/outbox-message.entity.js';
import { Outbox } from '../../src/mail/outbox.js';
import { OutboxRepository } from '../../src/mail/outbox.repository.js';
import { OutboxWorker, type SendingLimits } from '../../src/mail/outbox.worker.js';
import { baseEnvironment, createDatabase, type EmptyDatabase } from '../support/gatehouse.js';
import { startSmtp, type Smtp, type SmtpSettings } from '../support/smtp.js';

const ADA = { userId: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51', email: 'ada@example.com' };
const DAY = 86_400;
const LIMITS: SendingLimits = { leaseSeconds: 60, deadlineMs: 45_000, stopMs: 10_000 };

let database: EmptyDatabase;
let dataSource: DataSource;
let dataDir: string;
const logLines: string[] = [];
const masterKey = randomBytes(32);

beforeAll(async () => {
  database = await createDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-outbox-'));
  const config = loadConfig(baseEnvironment(database.url));
  dataSource = await createDataSource(config, { entities: [OutboxMessage] }).initialize();
  await migrate(dataSource);
  const destination = { write: (line: string) => void logLines.push(line) };
  Logger.overrideLogger(new NestLogger(createLogger({ level: 'debug', isPretty: false, destination })));
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
  rmSync(dataDir, { recursive: true });
});

/** Milliseconds since the epoch. It stands still: no time passes but what a test lets pass. */
let now: number;
const clock: Clock = { now: () => new Date(now) };
const pass = (seconds: number) => void (now += seconds * 1000);

let smtp: Smtp;
const servers: Smtp[] = [];
async function start(settings?: SmtpSettings): Promise<Smtp> {
  const server = await startSmtp(settings);
  servers.push(server);
  return server;
}
beforeEach(async () => {
  now = Date.now();
  logLines.length = 0;
  await dataSource.query('DELETE FROM outbox');
  smtp = await start();
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

/** What one instance has, by hand. */
function instance({ env = {}, limits = {}, masterKeys = new MasterKeys([masterKey]) }: Setting = {}) {
  const config = loadConfig({ ...baseEnvironment(database.url), DATA_DIR: dataDir, SMTP_URL: smtp.url, ...env });
  const rows = new OutboxRepository(dataSource.getRepository(OutboxMessage));
  const outbox = new Outbox(rows, masterKeys, clock, new Metrics());
  const all = { ...LIMITS, ...limits };
  return { rows, outbox, worker: new OutboxWorker(rows, masterKeys, transportOf(config), config, clock, all) };
}
interface Setting {
  env?: Environment;
  limits?: Partial<SendingLimits>;
  masterKeys?: MasterKeys;
}

const RESET: Message = { kind: 'reset_password', token: 'canary-token-0123456789-abcdefghijklmnopqrstuv' };
const PRODUCTION = { NODE_ENV: 'production', DATABASE_URL: 'mysql://u:p@127.0.0.1/unused', EMAIL_VERIFICATION: 'none' };
const add = (message: Message = RESET, to: { userId: string | null; email: string } = ADA) =>
  inTransaction(dataSource, (transaction) => instance().outbox.add(to, message, transaction));
const rows = () => dataSource.getRepository(OutboxMessage).find({ order: { id: 'ASC' } });
const row = async () => (await rows())[0]!;
const raw = async () => JSON.stringify(await dataSource.query('SELECT * FROM outbox'));
const events = () => logLines.map((line) => JSON.parse(line)).filter(({ event }) => event !== 'slow_query');
const dead = async (outbox: Outbox) => {
  const found = [];
  for await (const mail of outbox.listDead()) found.push(mail);
  return found;
};

describe('a message', () => {
  // Proves PCI 8.3.2, 63B-4 §3.1.1.2(storage): a stolen database has no hash to guess against, no token and no key
  test('is sealed before it is sent and erased after', async () => {
    const { worker } = instance();
    await add();
    expect(await raw()).not.toContain('canary-token');
    expect(await row()).toMatchObject({ kind: 'reset_password', recipient: ADA.email, attempts: 0, sentAt: null });
    expect((await row()).content).toBeTruthy();
    expect(await worker.deliverDue()).toBe(1);
    expect(await row()).toMatchObject({ content: null, nextAttemptAt: null, deadAt: null, attempts: 1 });
    expect((await row()).sentAt).toBeInstanceOf(Date);
    const [mail] = smtp.messages;
    expect(mail).toMatchObject({ to: [ADA.email], messageId: `<${(await row()).id}@localhost>` });
    expect(mail!.text).toContain(`http://localhost:0/reset-password#token=canary-token`);
    expect(await worker.deliverDue()).toBe(0);
    expect(smtp.messages).toHaveLength(1);
  });

  test('is sent only if what it belongs to commits', async () => {
    const { outbox, worker } = instance();
    const failing = inTransaction(dataSource, async (transaction) => {
      await outbox.add(ADA, RESET, transaction);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await worker.deliverDue()).toBe(0);
    expect(await rows()).toEqual([]);
  });

  // Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
  test('goes where it was addressed when it was stored, and not where its row says since', async () => {
    await add();
    await dataSource.query("UPDATE outbox SET recipient = 'eve@example.com'");
    expect(await instance().worker.deliverDue()).toBe(0);
    expect(smtp.messages).toEqual([]);
    expect(await row()).toMatchObject({ lastError: 'content_not_openable' });
  });

  // Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
  test('names in the log what it is, not to whom or what it says', async () => {
    await add();
    await instance().worker.deliverDue();
    const { id } = await row();
    expect(events()).toEqual([
      expect.objectContaining({ level: 'info', event: 'mail_sent', mail_id: id, kind: 'reset_password', attempts: 1 }),
    ]);
    smtp.behaviour = { refuse: 550 };
    await add();
    await instance().worker.deliverDue();
    expect(events()[1]).toMatchObject({ level: 'warn', event: 'mail_failed', attempts: 1, code: 'EENVELOPE 550' });
    expect(logLines.join()).not.toMatch(/ada@|canary/);
  });

  // Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
  test('of every kind arrives', async () => {
    const at = '2026-11-22T12:00:00Z';
    const messages: Message[] = [
      { kind: 'verify_email', token: 't', asksForPassword: true },
      { kind: 'confirm_email_change', token: 't' },
      { kind: 'new_sign_in', at, ip: '::1', userAgent: 'x\r\nBcc: eve@example.com' },
      { kind: 'account_locked', until: at },
      { kind: 'refresh_token_replayed', at },
      ...(
        [
          'signup_attempted',
          'password_changed',
          'email_change_requested',
          'email_change_attempted',
          'email_changed',
          'account_deleted',
        ] as const
      ).map((kind) => ({ kind })),
    ];
    for (const message of messages) await add(message);
    expect(await instance().worker.deliverDue()).toBe(messages.length);
    expect(new Set(smtp.messages.map(({ subject }) => subject)).size).toBe(messages.length);
    for (const mail of smtp.messages) {
      expect(mail.to).toEqual([ADA.email]);
      expect(mail.headers.get('bcc')).toBeUndefined();
    }
  });
});

// Proves ours (Recovery and mail): a mail survives the end of the mail server and of the process
describe('several workers', () => {
  test('20 on one row: one mail', async () => {
    await add();
    const sent = await Promise.all(Array.from({ length: 20 }, () => instance().worker.deliverDue()));
    expect(sent.reduce((sum, n) => sum + n)).toBe(1);
    expect(smtp.messages).toHaveLength(1);
    expect(await row()).toMatchObject({ attempts: 1 });
  });

  test('4 on 60 rows: 60 mails, each once', async () => {
    for (let i = 0; i < 60; i++) await add(RESET, { userId: null, email: `person${i}@example.com` });
    const sent = await Promise.all(Array.from({ length: 4 }, () => instance().worker.deliverDue()));
    expect(sent.reduce((sum, n) => sum + n)).toBe(60);
    expect(smtp.messages).toHaveLength(60);
    expect(new Set(smtp.messages.flatMap(({ to }) => to)).size).toBe(60);
  });

  test('one is killed between the server’s yes and its own note: once more, and recognisable', async () => {
    await add();
    const killed = instance();
    killed.rows.markSent = () => new Promise(() => {}); // it never came to that
    void killed.worker.deliverDue();
    await smtp.waitFor(() => true);
    pass(59);
    expect(await instance().worker.deliverDue()).toBe(0); // its lease holds
    pass(2);
    expect(await instance().worker.deliverDue()).toBe(1);
    for (let i = 0; i < 5; i++) {
      pass(3_600);
      await instance().worker.deliverDue();
    }
    const [first, second, ...more] = smtp.messages;
    expect(more).toEqual([]);
    expect(second!.messageId).toBe(first!.messageId);
    expect(second!.headers.get('date')).toEqual(first!.headers.get('date'));
  });

  test('a slow one whose lease is over undoes nothing', async () => {
    await add();
    const stuck = await start({ behaviour: 'hang' });
    const slow = instance({ env: { SMTP_URL: stuck.url } }).worker.deliverDue();
    await stuck.waitFor(() => true);
    pass(61);
    expect(await instance().worker.deliverDue()).toBe(1);
    const sent = await row();
    await stuck.stop();
    servers.splice(servers.indexOf(stuck), 1);
    expect(await slow).toBe(0);
    expect(await row()).toEqual(sent);
  });

  test('a slow one that succeeds after all spares the others the repeat', async () => {
    await add();
    const { rows: repository } = instance();
    const seen = await row();
    const leaseEnd = new Date(now + 60_000);
    expect(await repository.claim(seen, clock.now(), leaseEnd)).toBe(true);
    expect(await repository.claim(seen, clock.now(), leaseEnd)).toBe(false);
    pass(61);
    smtp.behaviour = { refuse: 451 };
    await instance().worker.deliverDue();
    await repository.markSent(seen.id, clock.now());
    smtp.behaviour = 'accept';
    pass(3_600);
    expect(await instance().worker.deliverDue()).toBe(0);
    expect(await row()).toMatchObject({ content: null, nextAttemptAt: null });
  });

  test('a database that stumbles when the mail is out does not have it sent again', async () => {
    await add();
    const { rows: repository, worker } = instance();
    const markSent = repository.markSent.bind(repository);
    let failures = 2;
    repository.markSent = async (...args) => {
      if (failures-- > 0) throw new Error('connection lost');
      return markSent(...args);
    };
    expect(await worker.deliverDue()).toBe(1);
    pass(3_600);
    await worker.deliverDue();
    expect(smtp.messages).toHaveLength(1);
  });
});

// Proves ours (Recovery and mail): a mail survives the end of the mail server and of the process
describe('a server that does not take it', () => {
  /** Seconds until the next attempt, as the row says. */
  const waits = async () => ((await row()).nextAttemptAt!.getTime() - clock.now().getTime()) / 1000;

  test('is asked again and again, less and less often, until the day is over; then an operator may', async () => {
    const { worker, outbox } = instance();
    smtp.behaviour = { refuse: 550 };
    await add();
    const created = (await row()).createdAt.getTime();
    const pauses: number[] = [];
    while ((await row()).deadAt === null) {
      expect(await worker.deliverDue()).toBe(0);
      const { deadAt, attempts, lastError } = await row();
      expect(lastError).toBe('EENVELOPE 550');
      expect(attempts).toBe(pauses.length + 1);
      if (deadAt !== null) break;
      pauses.push(await waits());
      pass(pauses.at(-1)! - 0.5);
      expect(await worker.deliverDue()).toBe(0);
      expect(await row()).toMatchObject({ attempts }); // not before its time
      pass(0.6);
    }
    for (const [i, expected] of [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600].entries()) {
      expect(pauses[i]).toBeGreaterThan(expected * 0.8 - 1);
      expect(pauses[i]).toBeLessThan(expected * 1.2 + 1);
    }
    const { id, deadAt, content } = await row();
    expect((deadAt!.getTime() - created) / 1000).toBeGreaterThanOrEqual(DAY);
    expect((deadAt!.getTime() - created) / 1000).toBeLessThan(DAY + 10);
    expect(content).not.toBeNull();
    expect(events().at(-1)).toMatchObject({ level: 'error', event: 'mail_dead', mail_id: id, code: 'EENVELOPE 550' });

    pass(3_600);
    expect(await worker.deliverDue()).toBe(0);
    const [mail, ...others] = await dead(outbox);
    expect(others).toEqual([]);
    expect(mail).toMatchObject({ id, kind: 'reset_password', recipient: ADA.email, lastError: 'EENVELOPE 550' });
    expect(Object.values(mail!).some((value) => value === content)).toBe(false);

    smtp.behaviour = 'accept';
    expect(await outbox.retry(['019aa5b0-4c00-7d2c-8f7e-000000000000'])).toBe(0);
    expect(await outbox.retry([])).toBe(0);
    expect(await outbox.retry([id])).toBe(1);
    expect(await outbox.retry('all')).toBe(0);
    expect(await dead(outbox)).toEqual([]);
    expect(await worker.deliverDue()).toBe(1);
    expect(await row()).toMatchObject({ deadAt: null, lastError: null, content: null });
  });

  test('a retried message has a whole day again', async () => {
    const { worker, outbox } = instance();
    smtp.behaviour = { refuse: 451 };
    await add();
    pass(DAY);
    await worker.deliverDue();
    expect(await dead(outbox)).toHaveLength(1);
    expect(await outbox.retry('all')).toBe(1);
    await worker.deliverDue();
    pass(DAY - 60);
    await worker.deliverDue();
    expect(await dead(outbox)).toEqual([]);
    pass(60);
    await worker.deliverDue();
    expect(await dead(outbox)).toHaveLength(1);
  });

  test('down, then up: nothing is lost', async () => {
    const { worker } = instance();
    const { port } = smtp;
    await smtp.stop();
    servers.length = 0;
    await add();
    await add();
    expect(await worker.deliverDue()).toBe(0);
    expect((await rows()).map(({ lastError }) => lastError)).toEqual(Array(2).fill('ESOCKET ECONNREFUSED'));
    smtp = await start({ port });
    pass(10);
    expect(await worker.deliverDue()).toBe(2);
    expect(smtp.messages).toHaveLength(2);
  });

  test.each(['hang', 'silent'] as const)('%s: the deadline ends it', async (behaviour) => {
    const { worker } = instance({ limits: { deadlineMs: 200 } });
    smtp.behaviour = behaviour;
    await add();
    const started = Date.now();
    expect(await worker.deliverDue()).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000); // not the 45 s of the default
    expect(await row()).toMatchObject({ lastError: 'deadline', attempts: 1, sentAt: null });
  });

  test('hangs up instead of answering: sent again, with the same Message-ID', async () => {
    const { worker } = instance();
    smtp.behaviour = 'drop';
    await add();
    expect(await worker.deliverDue()).toBe(0);
    smtp.behaviour = 'accept';
    pass(10);
    expect(await worker.deliverDue()).toBe(1);
    const [first, second] = smtp.messages;
    expect(smtp.messages).toHaveLength(2);
    expect(second!.messageId).toBe(first!.messageId);
  });

  test('every worker dies of it: the last attempt is the last', async () => {
    const { worker, outbox } = instance();
    await add();
    const deadly = instance();
    deadly.rows.putOff = () => new Promise(() => {});
    smtp.behaviour = { refuse: 451 };
    pass(DAY - 30);
    void deadly.worker.deliverDue();
    while ((await row()).attempts === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    pass(61);
    await worker.deliverDue();
    expect(await dead(outbox)).toEqual([expect.objectContaining({ lastError: 'no_outcome', attempts: 1 })]);
  });
});

describe('a master key', () => {
  test('that was taken out: the message is dead, visibly, and no other waits for it', async () => {
    await add();
    const { worker, outbox } = instance({ masterKeys: new MasterKeys([randomBytes(32)]) });
    expect(await worker.deliverDue()).toBe(0);
    expect(await dead(outbox)).toEqual([expect.objectContaining({ lastError: 'content_not_openable' })]);
    expect(events()).toEqual([expect.objectContaining({ event: 'mail_dead', code: 'content_not_openable' })]);
    expect(await instance().outbox.retry('all')).toBe(1); // once the key is back
    expect(await instance().worker.deliverDue()).toBe(1);
  });

  // Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
  test('that has a successor still opens what it sealed', async () => {
    await add();
    const { worker } = instance({ masterKeys: new MasterKeys([randomBytes(32), masterKey]) });
    expect(await worker.deliverDue()).toBe(1);
  });
});

describe('no SMTP_URL', () => {
  test('in production nothing is sent, and all is dead after a day', async () => {
    const { worker, outbox } = instance({
      env: { ...PRODUCTION, RATE_LIMITS: 'on', SMTP_URL: '', BCRYPT_COST: '10', PUBLIC_URL: 'https://auth.example' },
    });
    await add();
    pass(DAY - 10);
    expect(await worker.deliverDue()).toBe(0);
    expect(await row()).toMatchObject({ attempts: 0, deadAt: null });
    expect(events()).toEqual([]);
    pass(11);
    expect(await worker.deliverDue()).toBe(0);
    expect(await dead(outbox)).toEqual([expect.objectContaining({ lastError: 'no_smtp_url', attempts: 0 })]);
    expect(events()).toEqual([expect.objectContaining({ level: 'error', event: 'mail_dead', code: 'no_smtp_url' })]);
  });

  test('elsewhere mails are files', async () => {
    await add();
    expect(await instance({ env: { SMTP_URL: '' } }).worker.deliverDue()).toBe(1);
    const { id } = await row();
    expect(readdirSync(join(dataDir, 'outbox')).filter((name) => name.endsWith(`-${id}.eml`))).toHaveLength(1);
    expect(smtp.messages).toEqual([]);
  });
});

test('the loop sends by itself, and when it stops nothing is left half done', async () => {
  const { worker } = instance({ limits: { stopMs: 50 } });
  worker.start();
  await add();
  await smtp.waitFor(() => true);
  smtp.behaviour = 'hang';
  pass(1); // so that their ids tell which was first
  await add();
  while (smtp.messages.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const started = Date.now();
  await worker.stop();
  expect(Date.now() - started).toBeLessThan(5_000); // not the 10 s of the default
  expect((await rows()).map(({ lastError }) => lastError)).toEqual([null, 'stopping']);
  await add();
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  expect(smtp.messages).toHaveLength(2);
});

// Proves GDPR 17: a deleted account is closed at once, and its data goes
test('a person’s messages go with the person, the others stay', async () => {
  const { outbox, worker } = instance();
  await add();
  await worker.deliverDue();
  await add();
  await add(RESET, { userId: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a52', email: 'grace@example.com' });
  await add({ kind: 'account_deleted' }, { userId: null, email: ADA.email });
  await inTransaction(dataSource, (transaction) => outbox.forget(ADA.userId, transaction));
  expect((await rows()).map(({ kind, recipient }) => `${kind} ${recipient}`).sort()).toEqual([
    `account_deleted ${ADA.email}`,
    'reset_password grace@example.com',
  ]);
});

// Proves ASVS 14.2.7: what is no longer needed is deleted, to the second
test('sent messages go after a day, dead ones after 30, waiting ones never', async () => {
  const { outbox, worker } = instance();
  await add();
  await worker.deliverDue();
  await add();
  await dataSource.query('UPDATE outbox SET dead_at = created_at, next_attempt_at = NULL WHERE sent_at IS NULL');
  pass(5);
  await add();
  const purge = (limit = 500) => outbox.purge(clock.now(), limit);
  pass(DAY - 10);
  expect(await purge()).toBe(0);
  pass(10);
  expect(await purge()).toBe(1);
  expect(await rows()).toHaveLength(2);
  pass(29 * DAY - 10);
  expect(await purge()).toBe(0);
  pass(10);
  expect(await purge(0)).toBe(0);
  expect(await purge()).toBe(1);
  expect(await rows()).toEqual([expect.objectContaining({ sentAt: null, deadAt: null })]);
  expect(await purge()).toBe(0);
});

test('hundreds of dead ones are listed newest first, page by page', async () => {
  const { outbox } = instance();
  for (let i = 0; i < 205; i++) await add(RESET, { userId: null, email: `person${i}@example.com` });
  await dataSource.query('UPDATE outbox SET dead_at = created_at, next_attempt_at = NULL');
  await add();
  const ids = (await dead(outbox)).map(({ id }) => id);
  expect(ids).toHaveLength(205);
  expect(ids).toEqual([...ids].sort().reverse());
  expect(await outbox.retry('all')).toBe(205);
});
