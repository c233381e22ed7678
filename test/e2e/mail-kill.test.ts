import type { DataSource } from 'typeorm';
import { expect, onTestFinished, test, vi } from 'vitest';
import { baseEnvironment, newAccount } from '../support/gatehouse.js';
import { lookInto, startServer, temporaryDatabase, until } from '../support/server-process.js';
import { startSmtp, type Smtp, type SmtpSettings } from '../support/smtp.js';

// Every server is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

async function smtpServer(settings?: SmtpSettings): Promise<Smtp> {
  const smtp = await startSmtp(settings);
  onTestFinished(() => smtp.stop());
  return smtp;
}

/** As if the pause before the next attempt, or the lease of a process that died, were over. */
const endPause = (rows: DataSource) =>
  rows.query("UPDATE outbox SET next_attempt_at = '2020-01-01 00:00:00.000' WHERE next_attempt_at IS NOT NULL");

const tokenIn = (text: string) => /#token=([\w-]{43})$/m.exec(text)?.[1];

// Proves ours (Recovery and mail): a mail survives the end of the mail server and of the process
test('a mail survives the end of the SMTP server and of the process, and is sent once', async () => {
  const url = await temporaryDatabase();
  const rows = await lookInto(url);
  const first = await smtpServer();
  const env = { ...baseEnvironment(url), EMAIL_VERIFICATION: 'required', SMTP_URL: first.url };
  const account = newAccount();

  const dying = await startServer(env);
  await first.stop();
  expect((await dying.post('/auth/signup', account)).status).toBe(202);
  await dying.program.kill();

  // Back without the SMTP server: it tries, fails and keeps the mail.
  const failing = await startServer(env);
  await until(async () => (await rows.query('SELECT id FROM outbox WHERE last_error IS NOT NULL')).length === 1);
  await failing.program.kill();

  const second = await smtpServer({ port: first.port });
  await endPause(rows);
  const server = await startServer(env);
  await second.waitFor(({ to }) => to.includes(account.email));
  const token = tokenIn(second.messages[0]?.text ?? '');
  expect((await server.post('/auth/email/verify', { token })).status).toBe(204);
  await server.logIn(account);
  await until(async () => (await rows.query('SELECT id FROM outbox WHERE content IS NOT NULL')).length === 0);
  expect(second.messages.filter(({ to }) => to.includes(account.email))).toHaveLength(1);
  await server.stop();
});

// Proves ours (Recovery and mail): a mail survives the end of the mail server and of the process
test('killed between the server’s yes and its own note of it, it sends once more, and the repeat is recognisable', async () => {
  const url = await temporaryDatabase();
  const rows = await lookInto(url);
  const smtp = await smtpServer({ behaviour: 'hang' });
  const env = { ...baseEnvironment(url), SMTP_URL: smtp.url };
  const dying = await startServer(env);
  const account = await dying.signUp();
  await dying.post('/auth/password/forgot', { email: account.email });
  await smtp.waitFor(({ to }) => to.includes(account.email));
  await dying.program.kill();

  smtp.behaviour = 'accept';
  await endPause(rows);
  const server = await startServer(env);
  await until(async () => (await rows.query('SELECT id FROM outbox WHERE sent_at IS NOT NULL')).length === 1);
  expect(smtp.messages).toHaveLength(2);
  expect(new Set(smtp.messages.map(({ messageId }) => messageId)).size).toBe(1);
  const token = tokenIn(smtp.messages[1]?.text ?? '');
  const body = { token, new_password: newAccount().password };
  expect((await server.post('/auth/password/reset', body)).status).toBe(204);
  await server.stop();
});
