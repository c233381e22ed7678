import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { InvalidConfig, loadConfig, type Environment } from '../../../src/config/load-config.js';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 73 + 41) % 256)).toString('base64');
const production = (overrides: Environment = {}): Environment => ({
  NODE_ENV: 'production',
  MASTER_KEY: KEY,
  DATABASE_URL: 'mysql://user:pass@db.example/gatehouse',
  ISSUER: 'https://auth.example',
  PUBLIC_URL: 'https://auth.example',
  EMAIL_VERIFICATION: 'required',
  SMTP_URL: 'smtp://user:pass@smtp.example:587',
  MAIL_FROM: 'Example Bank <no-reply@auth.example>',
  ...overrides,
});

function problemsOf(env: Environment): string[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (error instanceof InvalidConfig) return error.problems;
    throw error;
  }
}

describe('defaults', () => {
  const config = loadConfig({ DATA_DIR: join(folder, 'defaults') });

  // Proves ASVS 11.4.2, CS Password Storage: hashes are bcrypt over a pre-hash that leaves nothing out, of cost 12, in production at least 10
  test('are those of the security requirements', () => {
    expect(config).toMatchObject({
      nodeEnv: 'development',
      host: '127.0.0.1',
      port: 3000,
      accessTokenTtlSeconds: 300,
      refreshLeewaySeconds: 10,
      sessionIdleSeconds: 604_800,
      sessionAbsoluteSeconds: 2_592_000,
      bcryptCost: 12,
      passwordMinLength: 15,
      docs: 'on',
      trustedProxies: false,
    });
  });

  test('issuer and audience follow the public address', () => {
    expect(loadConfig(production({ ISSUER: '' }))).toMatchObject({
      issuer: 'https://auth.example',
      audience: 'https://auth.example',
    });
    expect(config.publicUrl).toBe('http://localhost:3000');
  });

  test.each([
    ['', ''],
    ['https://range.example/range/', 'https://range.example/range/'],
    ['https://range.example/range', 'https://range.example/range/'],
    ['https://range.example', 'https://range.example/'],
    ['https://range.example/prefix=', 'https://range.example/prefix='],
  ])('HIBP_URL=%s: the digits are put behind %s', (HIBP_URL, hibpUrl) => {
    expect(loadConfig(production({ HIBP_URL })).hibpUrl).toBe(hibpUrl);
  });

  // Proves ASVS 13.4.2: what is for development is not there in production
  test('the docs are off in production unless asked for', () => {
    expect(loadConfig(production()).docs).toBe('off');
    expect(loadConfig(production({ DOCS: 'on' })).docs).toBe('on');
  });
});

describe('the development master key', () => {
  const dataDir = join(folder, 'made');

  test('is made once, for the owner’s eyes only', () => {
    const first = loadConfig({ DATA_DIR: dataDir });
    const path = join(dataDir, 'master.key');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(first.masterKeys[0]).toHaveLength(32);
    expect(readFileSync(path, 'utf8').trim()).toBe(first.masterKey);
    expect(loadConfig({ DATA_DIR: dataDir }).masterKey).toBe(first.masterKey);
  });

  test('that was damaged is refused, not replaced', () => {
    writeFileSync(join(dataDir, 'master.key'), 'x');
    expect(problemsOf({ DATA_DIR: dataDir })).toHaveLength(1);
  });
});

// Proves ASVS 6.2.1: no minimum below 12 characters in production
// Proves ASVS 11.4.2, CS Password Storage: hashes are bcrypt over a pre-hash that leaves nothing out, of cost 12, in production at least 10
// Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
// Proves ASVS 13.3.1: production does not start on placeholders, SQLite or values below a floor
describe('production refuses', () => {
  test('all at once, each by name', () => {
    const problems = problemsOf({ NODE_ENV: 'production', BCRYPT_COST: '9', PUBLIC_URL: 'http://auth.example' });
    for (const name of ['MASTER_KEY', 'DATABASE_URL', 'BCRYPT_COST', 'PUBLIC_URL', 'ISSUER']) {
      expect(
        problems.some((problem) => problem.startsWith(name)),
        name,
      ).toBe(true);
    }
  });

  test.each<[string, string]>([
    ['MASTER_KEY', ''],
    ['MASTER_KEY', 'changeme'],
    ['MASTER_KEY', Buffer.alloc(32).toString('base64')],
    ['MASTER_KEY', Buffer.from('this is a placeholder key, 32 by').toString('base64')],
    ['MASTER_KEY', Buffer.alloc(31, KEY).toString('base64')],
    ['MASTER_KEY', `${KEY},short`],
    ['DATABASE_URL', ''],
    ['DATABASE_URL', 'sqlite:.data/x.sqlite'],
    ['DATABASE_URL', 'mysql://user:pass@db.example'],
    ['DATABASE_URL', 'mysql://user:pass@db.example/gatehouse?ssl-mode=PREFERRED'],
    ['DATABASE_URL', 'mysql://user:%zz@db.example/gatehouse'],
    ['DATABASE_URL', 'mysql://user:pass@192.0.2.1/gatehouse'],
    ['DATABASE_URL', 'mysql://user:pass@[2001:db8::1]/gatehouse'],
    ['DATABASE_URL', 'postgres://user:pass@db.example/gatehouse'],
    ['BCRYPT_COST', '9'],
    ['BCRYPT_COST', '16'],
    ['ACCESS_TOKEN_TTL_SECONDS', '59'],
    ['ACCESS_TOKEN_TTL_SECONDS', '901'],
    ['SIGNING_KEY_DAYS', '0'],
    ['SIGNING_KEY_DAYS', '91'],
    ['REFRESH_LEEWAY_SECONDS', '61'],
    ['REFRESH_LEEWAY_SECONDS', '-1'],
    ['SESSION_IDLE_SECONDS', '299'],
    ['SESSION_ABSOLUTE_SECONDS', '2592001'],
    ['PASSWORD_MIN_LENGTH', '11'],
    ['PASSWORD_MIN_LENGTH', '65'],
    ['ISSUER', 'http://auth.example'],
    ['PUBLIC_URL', 'http://auth.example'],
    ['PUBLIC_URL', 'https://auth.example/?x=1'],
    ['EMAIL_VERIFICATION', ''],
    ['EMAIL_VERIFICATION', 'optional'],
    ['SMTP_URL', ''],
    ['SMTP_URL', 'http://smtp.example'],
    ['SMTP_URL', 'smtp://smtp.example/path'],
    ['SMTP_URL', 'smtp://smtp.example?tls=MAYBE'],
    ['SMTP_URL', 'smtp://user:%zz@smtp.example'],
    ['MAIL_FROM', ''],
    ['MAIL_FROM', 'no address'],
    ['MAIL_FROM', 'Bank <a@b.example>\r\nBcc: <c@d.example>'],
    ['VERIFY_URL', 'http://app.example/verify'],
    ['RESET_URL', 'https://app.example/reset?x=1'],
    ['DELETION_GRACE_DAYS', '-1'],
    ['DELETION_GRACE_DAYS', '366'],
    ['TRUST_PROXY', 'true'],
    ['TRUST_PROXY', '*'],
    ['TRUST_PROXY', '0'],
    ['TRUST_PROXY', '0.0.0.0/0'],
    ['TRUST_PROXY', '::/0'],
    ['TRUST_PROXY', '0.0.0.0/1,128.0.0.0/1'],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['RATE_LIMIT_LOGIN', '60'],
    ['RATE_LIMIT_LOGIN', 'x/60'],
    ['RATE_LIMIT_LOGIN', '-1/60'],
    ['RATE_LIMIT_LOGIN', '0/60'],
    ['RATE_LIMIT_LOGIN', '60/0'],
    ['RATE_LIMIT_LOGIN', '60/60/60'],
    ['RATE_LIMIT_LOGIN', '1.5/60'],
    ['RATE_LIMIT_LOGIN', '1000001/60'],
    ['RATE_LIMIT_LOGIN', '60/2592001'],
    ['RATE_LIMIT_ACCOUNT_MAIL', '3/86401'],
    ['HIBP_URL', 'http://range.example/'],
    ['HIBP_URL', 'https://range.example/?prefix='],
    ['DOCS', 'yes'],
    ['LOG_LEVEL', 'loud'],
    ['PORT', '65536'],
    ['PORT', '3000x'],
    ['HASH_CONCURRENCY', '0'],
    ['DATABASE_POOL_SIZE', '1.5'],
  ])('%s=%s', (name, value) => {
    const problems = problemsOf(production({ [name]: value }));
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.every((problem) => problem.startsWith(name))).toBe(true);
  });

  // Proves ASVS 13.3.1, PCI 8.6.2, CS Docker #12: secrets come from files, and no value of one is ever printed
  test('never with a value in the message', () => {
    const canaries = {
      MASTER_KEY: 'canary-key',
      DATABASE_URL: 'mysql://canary-user:canary-pass@',
      ISSUER: 'canary-issuer',
      PORT: 'canary-port',
    };
    expect(problemsOf(production(canaries)).join('\n')).not.toContain('canary');
  });

  test('nothing when all is well', () => {
    expect(problemsOf(production())).toEqual([]);
    expect(problemsOf(production({ ISSUER: 'http://localhost:3000', PUBLIC_URL: 'http://127.0.0.1' }))).toEqual([]);
    expect(problemsOf(production({ DATABASE_URL: 'mysql://user:pass@192.0.2.1/gatehouse?ssl-mode=DISABLED' }))).toEqual(
      [],
    );
    expect(problemsOf(production({ TRUST_PROXY: '2' }))).toEqual([]);
    expect(problemsOf(production({ EMAIL_VERIFICATION: 'none', SMTP_URL: '', MAIL_FROM: '' }))).toEqual([]);
    expect(problemsOf(production({ SMTP_URL: 'smtps://smtp.example?tls-ca=/run/ca.pem' }))).toEqual([]);
    expect(problemsOf(production({ TRUST_PROXY: '10.0.0.0/8, 2001:db8::1' }))).toEqual([]);
    expect(problemsOf(production({ MASTER_KEY: `${KEY},${KEY}` }))).toEqual([]);
    expect(problemsOf(production({ RATE_LIMIT_LOGIN: '1/1', RATE_LIMIT_SIGNUP: '1000000/2592000' }))).toEqual([]);
    expect(problemsOf(production({ RATE_LIMIT_ACCOUNT_MAIL: '3/86400' }))).toEqual([]);
  });

  test('a command that only changes the schema needs the database and nothing else', () => {
    const env = { NODE_ENV: 'production', DATABASE_URL: 'mysql://user:pass@db.example/gatehouse' };
    expect(() => loadConfig(env, { serves: false })).not.toThrow();
    expect(() => loadConfig({ ...env, DATABASE_URL: '' }, { serves: false })).toThrow('DATABASE_URL');
  });
});

describe('outside production', () => {
  test('small values are allowed, so that tests need not wait', () => {
    const env = {
      NODE_ENV: 'test',
      MASTER_KEY: KEY,
      BCRYPT_COST: '4',
      ACCESS_TOKEN_TTL_SECONDS: '1',
      SESSION_IDLE_SECONDS: '1',
      SESSION_ABSOLUTE_SECONDS: '1',
      PASSWORD_MIN_LENGTH: '1',
    };
    expect(problemsOf(env)).toEqual([]);
  });

  test('a short absolute life shortens the default idle life', () => {
    const config = loadConfig({ NODE_ENV: 'test', MASTER_KEY: KEY, SESSION_ABSOLUTE_SECONDS: '60' });
    expect(config.sessionIdleSeconds).toBe(60);
    expect(problemsOf({ MASTER_KEY: KEY, SESSION_ABSOLUTE_SECONDS: '60', SESSION_IDLE_SECONDS: '61' })).toHaveLength(1);
  });
});

// Proves ASVS 13.3.1, PCI 8.6.2, CS Docker #12: secrets come from files, and no value of one is ever printed
describe('secrets from files', () => {
  const file = join(folder, 'key');
  writeFileSync(file, `${KEY}\n`);

  test('NAME_FILE is read for each', () => {
    const url = join(folder, 'url');
    writeFileSync(url, 'mysql://user:pass@db.example/gatehouse\n');
    const config = loadConfig(
      production({ MASTER_KEY: undefined, MASTER_KEY_FILE: file, DATABASE_URL: undefined, DATABASE_URL_FILE: url }),
    );
    expect(config.masterKey).toBe(KEY);
    expect(config.databaseUrl).toBe('mysql://user:pass@db.example/gatehouse');
  });

  test('both at once, or a file that is not there, is refused', () => {
    expect(problemsOf(production({ MASTER_KEY_FILE: file }))).toHaveLength(1);
    expect(
      problemsOf(production({ MASTER_KEY: '', MASTER_KEY_FILE: join(folder, 'canary-missing') })).join(),
    ).not.toContain('canary');
  });
});
