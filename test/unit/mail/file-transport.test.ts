import { simpleParser } from 'mailparser';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load-config.js';
import { DevOutboxController } from '../../../src/mail/dev-outbox.controller.js';
import { FileTransport, mailFolderOf } from '../../../src/mail/file-transport.js';
import { transportOf } from '../../../src/mail/mail.module.js';
import type { OutgoingMail } from '../../../src/mail/mail-transport.js';
import { baseEnvironment } from '../../support/gatehouse.js';

const mail: OutgoingMail = {
  id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51',
  to: 'ada@example.com',
  subject: 'Confirm your e-mail address',
  text: 'Text\n',
  html: '<p>HTML</p>\n',
  link: 'https://app.example/verify-email#token=abc',
  createdAt: new Date('2026-11-22T12:00:05.678Z'),
};
const name = '20261122T120005.678Z-019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51';

let dataDir: string;
beforeEach(() => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'gatehouse-mail-')), 'data');
});
afterEach(() => rmSync(join(dataDir, '..'), { recursive: true }));

const folder = () => join(dataDir, 'outbox');
const configOf = (NODE_ENV = 'development') =>
  loadConfig({ ...baseEnvironment('sqlite:unused'), NODE_ENV, DATA_DIR: dataDir });
const send = (changes: Partial<OutgoingMail> = {}, printed: string[] = [], nodeEnv?: string) =>
  new FileTransport(configOf(nodeEnv), (line) => printed.push(line)).send({ ...mail, ...changes });

test('writes a message that a mail program opens, for its owner alone', async () => {
  await send();
  expect(readdirSync(folder()).sort()).toEqual([`${name}.eml`, `${name}.json`]);
  expect(statSync(folder()).mode & 0o777).toBe(0o700);
  for (const file of readdirSync(folder())) expect(statSync(join(folder(), file)).mode & 0o777).toBe(0o600);
  const parsed = await simpleParser(readFileSync(join(folder(), `${name}.eml`)));
  expect(parsed).toMatchObject({ subject: mail.subject, text: mail.text, messageId: `<${mail.id}@localhost>` });
  expect(parsed.date).toEqual(new Date('2026-11-22T12:00:05.000Z'));
  expect(parsed.html).toBe(mail.html);
});

test('a repeat replaces the file', async () => {
  await send();
  await send();
  expect(readdirSync(folder())).toHaveLength(2);
});

test('whole or not at all: what cannot be put in place leaves nothing', async () => {
  mkdirSync(join(folder(), `${name}.eml`), { recursive: true }); // a folder, which no file replaces
  await expect(send()).rejects.toMatchObject({ code: 'EISDIR' });
  expect(readdirSync(folder())).toEqual([`${name}.eml`]);
});

// Proves ASVS 13.4.2: what is for development is not there in production
test('prints a line with the link in development, and nowhere else', async () => {
  const printed: string[] = [];
  await send({}, printed);
  await send({ subject: 'Your password was changed', link: null }, printed);
  expect(printed).toEqual([
    'mail to ada@example.com: Confirm your e-mail address: https://app.example/verify-email#token=abc\n',
    'mail to ada@example.com: Your password was changed\n',
  ]);
  await send({}, printed, 'test');
  expect(printed).toHaveLength(2);
});

test('takes one plain address and no other', async () => {
  await expect(send({ to: 'ada@example.com\nBcc: eve@example.com' })).rejects.toMatchObject({ code: 'EENVELOPE' });
});

// Proves ASVS 13.4.2: what is for development is not there in production
test('files outside production, nothing in it, SMTP wherever it is configured', () => {
  const production = {
    NODE_ENV: 'production',
    RATE_LIMITS: 'on',
    DATABASE_URL: 'mysql://u:p@127.0.0.1/x',
    EMAIL_VERIFICATION: 'none',
  };
  const named = (overrides = {}) =>
    transportOf(
      loadConfig({
        ...baseEnvironment('sqlite:unused'),
        BCRYPT_COST: '10',
        PUBLIC_URL: 'https://a.example',
        ...overrides,
      }),
    );
  expect(named().constructor.name).toBe('FileTransport');
  expect(named(production).constructor.name).toBe('NoTransport');
  const smtp = { SMTP_URL: 'smtp://127.0.0.1', MAIL_FROM: 'a@b.example' };
  expect(named({ ...production, ...smtp }).constructor.name).toBe('SmtpTransport');
});

test('the mails can be read as Mailpit shows its own', async () => {
  const controller = new DevOutboxController(mailFolderOf(configOf()));
  expect(await controller.search('to:ada@example.com')).toEqual({ messages: [] });
  const later = { id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a52', createdAt: new Date('2026-11-22T12:00:06Z') };
  await send();
  await send({ ...later, subject: 'Reset your password' });
  await send({ to: 'ada@example.com.example', id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a53' });
  const found = {
    ID: mail.id,
    Subject: mail.subject,
    To: [{ Address: mail.to }],
    Created: '2026-11-22T12:00:05.678Z',
  };
  for (const query of ['to:ada@example.com', 'to:"Ada@example.com"']) {
    expect(await controller.search(query)).toEqual({
      messages: [expect.objectContaining({ ID: later.id, Subject: 'Reset your password' }), found],
    });
  }
  for (const query of [undefined, '', 'to:', 'to:example.com', ['to:ada@example.com'], 'subject:x']) {
    expect(await controller.search(query)).toEqual({ messages: [] });
  }
  expect(await controller.message(mail.id)).toEqual({ ...found, Text: mail.text, HTML: mail.html });
  for (const id of [later.id.replace('52', '59'), '', '..', '../../master.key', `${mail.id}.json`, '*']) {
    await expect(controller.message(id)).rejects.toMatchObject({ code: 'not_found' });
  }
});
