import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Config } from '../../../src/config/config.js';
import { loadConfig } from '../../../src/config/load-config.js';
import type { OutgoingMail } from '../../../src/mail/mail-transport.js';
import { SmtpTransport } from '../../../src/mail/smtp-transport.js';
import { baseEnvironment } from '../../support/gatehouse.js';
import { startSmtp, type Smtp, type SmtpSettings } from '../../support/smtp.js';

const mail: OutgoingMail = {
  id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51',
  to: 'ada@example.com',
  subject: 'Plain subject',
  text: 'Text\n',
  html: '<p>HTML</p>',
  link: null,
  createdAt: new Date('2026-11-22T12:00:05.000Z'),
};

const servers: Smtp[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function start(settings?: SmtpSettings): Promise<Smtp> {
  const server = await startSmtp(settings);
  servers.push(server);
  return server;
}

function configFor(smtpUrl: string, overrides = {}): Config {
  const mailFrom = 'Example Bank <no-reply@bank.example>';
  const env = { PUBLIC_URL: 'https://auth.bank.example:8443', MAIL_FROM: mailFrom, SMTP_URL: smtpUrl, ...overrides };
  return loadConfig({ ...baseEnvironment('sqlite:unused'), ...env });
}

const never = new AbortController().signal;
const send = (smtpUrl: string, changes: Partial<OutgoingMail> = {}, overrides = {}) =>
  new SmtpTransport(configFor(smtpUrl, overrides)).send({ ...mail, ...changes }, never);

/** The header block of a message, unfolded. */
const headersOf = (raw: string) => (raw.split('\r\n\r\n')[0] as string).replace(/\r\n[ \t]+/g, ' ').split('\r\n');

describe('a mail', () => {
  test('arrives in both parts, from us, to one person', async () => {
    const smtp = await start();
    await send(smtp.url);
    const [caught] = smtp.messages;
    expect(caught).toMatchObject({ to: ['ada@example.com'], from: 'no-reply@bank.example', subject: mail.subject });
    expect(caught!.text).toBe('Text\n');
    expect(caught!.html.trim()).toBe('<p>HTML</p>');
    expect(caught!.messageId).toBe(`<${mail.id}@auth.bank.example>`);
    expect(headersOf(caught!.raw).map((line) => line.replace(/boundary=.*/, ''))).toEqual([
      'Auto-Submitted: auto-generated',
      'From: Example Bank <no-reply@bank.example>',
      'To: ada@example.com',
      'Subject: Plain subject',
      `Message-ID: <${mail.id}@auth.bank.example>`,
      'Date: Sun, 22 Nov 2026 12:00:05 +0000',
      'MIME-Version: 1.0',
      'Content-Type: multipart/alternative; ',
    ]);
  });

  test.each(['Bank, Evil <x@bank.example>', 'Bänk: "nice" <x@bank.example>', 'x@bank.example'])(
    'is from one sender: %s',
    async (MAIL_FROM) => {
      const smtp = await start();
      const sending = () => send(smtp.url, {}, { MAIL_FROM });
      if (MAIL_FROM.includes('"')) return expect(sending).toThrow(/MAIL_FROM/);
      await sending();
      const { value } = smtp.messages[0]!.headers.get('from') as { value: { address: string }[] };
      expect(value.map(({ address }) => address)).toEqual(['x@bank.example']);
    },
  );

  // Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
  test.each([
    'ada@example.com\r\nBcc: eve@example.com',
    'ada@example.com, eve@example.com',
    'ada@example.com;eve@example.com',
    'ada@example.com>\r\nRCPT TO:<eve@example.com',
    'Ada <ada@example.com>',
    'ada@example.com eve@example.com',
    'ada@example.com\u0000',
    'ada@example.com\u2028Bcc: eve@example.com',
    'group: ada@example.com, eve@example.com;',
    '"ada@example.com, eve"@example.com',
    'ada@eve@example.com',
    'ada',
    '',
  ])('goes nowhere when its recipient is not one plain address: %j', async (to) => {
    const smtp = await start();
    await expect(send(smtp.url, { to })).rejects.toMatchObject({ code: 'EENVELOPE' });
    expect(smtp.connections).toBe(0);
  });

  // Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
  test('has no header that somebody put into its texts', async () => {
    const smtp = await start();
    const evil = 'x\r\nBcc: eve@example.com\r\n\r\n.\r\nMAIL FROM:<eve@example.com>\r\n';
    await send(smtp.url, { subject: evil, text: evil, html: evil });
    expect(smtp.messages).toHaveLength(1);
    const [{ to, raw }] = smtp.messages as [Smtp['messages'][0]];
    expect(to).toEqual(['ada@example.com']);
    expect(headersOf(raw).filter((line) => /^(Bcc|MAIL)/i.test(line))).toEqual([]);
  });

  test('to an address with signs or a name of other letters goes there', async () => {
    const smtp = await start();
    await send(smtp.url, { to: "o'neil+tag=x@bücher.example" });
    expect(headersOf(smtp.messages[0]!.raw)).toContain("To: o'neil+tag=x@xn--bcher-kva.example");
  });
});

describe('a server that does not take it', () => {
  test.each([451, 550])('refuses with %i: the error has the code', async (refuse) => {
    const smtp = await start({ behaviour: { refuse } });
    await expect(send(smtp.url)).rejects.toMatchObject({ code: 'EENVELOPE', responseCode: refuse });
  });

  test('does not say hello: given up after the time for that', async () => {
    const smtp = await start({ behaviour: 'silent' });
    const startedAt = performance.now();
    const sending = new SmtpTransport(configFor(smtp.url), 300).send(mail, never);
    await expect(sending).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(performance.now() - startedAt, 'not the ten seconds of the default').toBeLessThan(8_000);
  });

  test('hangs up without an answer: nobody knows, so it was not sent', async () => {
    const smtp = await start({ behaviour: 'drop' });
    await expect(send(smtp.url)).rejects.toMatchObject({ code: 'ECONNECTION' });
  });

  test('does not answer: ended by the caller, with its connection', async () => {
    const smtp = await start({ behaviour: 'hang' });
    const abort = new AbortController();
    const sending = new SmtpTransport(configFor(smtp.url)).send(mail, abort.signal);
    await smtp.waitFor(() => true);
    abort.abort();
    await expect(sending).rejects.toMatchObject({ code: 'EABORT' });
  });
});

// Proves ASVS 12.3.1, ASVS 12.3.2, ASVS 12.3.4: TLS to the mail server, chain and name verified
describe('TLS', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  const pem = (name: string) => readFileSync(path(name), 'utf8');
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = (name: string) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-subj', `/CN=${name}`];

  function makeCertificate(name: string): void {
    openssl('req', ...newKey(name), '-out', `${name}.csr`);
    writeFileSync(path(`${name}.names`), `subjectAltName=DNS:${name}`);
    const authority = ['-CA', 'ours.pem', '-CAkey', 'ours.key', '-CAcreateserial'];
    const names = ['-extfile', `${name}.names`];
    openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-out', `${name}.pem`, '-days', '2', ...names);
  }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'gatehouse-smtp-tls-'));
    for (const name of ['ours', 'theirs'])
      openssl('req', '-x509', ...newKey(name), '-days', '2', '-out', `${name}.pem`);
    for (const name of ['localhost', 'other.example']) makeCertificate(name);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const withCertificate = (name: string, more = {}) =>
    start({ tls: { key: pem(`${name}.key`), cert: pem(`${name}.pem`), ...more } });
  const withCa = (name: string) => `?tls=VERIFY&tls-ca=${path(name)}`;

  test.each([
    ['smtp', false],
    ['smtps', true],
  ])('%s: chain and name are right', async (scheme, secure) => {
    const smtp = await withCertificate('localhost', { secure });
    await send(`${scheme}://localhost:${smtp.port}${withCa('ours.pem')}`);
    expect(smtp.messages).toHaveLength(1);
  });

  test.each([
    ['another authority', 'localhost', 'theirs.pem', 'smtp'],
    ['another authority', 'localhost', 'theirs.pem', 'smtps'],
    ['another name', 'other.example', 'ours.pem', 'smtp'],
    ['another name', 'other.example', 'ours.pem', 'smtps'],
  ])('%s is refused (%s, %s, %s)', async (_, certificate, ca, scheme) => {
    const smtp = await withCertificate(certificate, { secure: scheme === 'smtps' });
    const sending = send(`${scheme}://localhost:${smtp.port}${withCa(ca)}`);
    await expect(sending).rejects.toThrow(/certificate|altnames/i);
    expect(smtp.messages).toEqual([]);
  });

  test('an authority that nobody named is refused, by address as by name', async () => {
    const smtp = await withCertificate('localhost');
    for (const host of ['localhost', '127.0.0.1']) {
      await expect(send(`smtp://${host}:${smtp.port}?tls=VERIFY`)).rejects.toThrow(/certificate/);
    }
    await expect(send(`smtp://127.0.0.1:${smtp.port}${withCa('ours.pem')}`)).rejects.toThrow(/altnames/);
    expect(smtp.messages).toEqual([]);
  });

  test('a server without TLS gets nothing, unless TLS is turned off', async () => {
    const smtp = await start({ login: { user: 'mailer', password: 'secret' } });
    const url = `smtp://mailer:secret@localhost:${smtp.port}`;
    await expect(send(`${url}${withCa('ours.pem')}`)).rejects.toMatchObject({ code: 'ETLS' });
    expect(smtp.messages).toEqual([]);
    await send(`${url}?tls=DISABLED`);
    expect(smtp.messages).toHaveLength(1);
  });

  test('turned off for smtp: does not turn it off for smtps:', async () => {
    const smtp = await withCertificate('localhost', { secure: true });
    await expect(send(`smtps://localhost:${smtp.port}?tls=DISABLED`)).rejects.toThrow(/certificate/);
  });

  test('user and password are decoded, and a wrong one is an error', async () => {
    const login = { user: 'mailer@bank.example', password: 'a:b/c@d%' };
    const smtp = await start({ login });
    const url = (password: string) =>
      `smtp://${encodeURIComponent(login.user)}:${encodeURIComponent(password)}@127.0.0.1:${smtp.port}`;
    await send(url(login.password));
    expect(smtp.messages).toHaveLength(1);
    await expect(send(url('wrong'))).rejects.toMatchObject({ code: 'EAUTH' });
  });
});
