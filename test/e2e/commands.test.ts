import bcrypt from 'bcrypt';
import { exec } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { createWriteStream, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { AuditSealer } from '../../src/audit/audit-sealer.js';
import { AuditTrail } from '../../src/audit/audit-trail.js';
import { inTransaction } from '../../src/database/transaction.js';
import { Outbox } from '../../src/mail/outbox.js';
import { runCommand, runJson } from '../support/command.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import {
  isDatabaseServer,
  run,
  runCli,
  temporaryDatabase,
  temporaryFolder,
  Terminal,
  until,
} from '../support/server-process.js';

// Every command is a process of its own, which takes a second or two to start, and longer where others work too.
vi.setConfig({ testTimeout: 180_000 });

/** What has nothing to do with which database it is. Each command is a process, and takes its time to start. */
const testOnce: typeof test = isDatabaseServer() ? ((() => {}) as never) : test;
const describeOnce: typeof describe = isDatabaseServer() ? ((() => {}) as never) : describe;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const cli = (...args: string[]) => runCommand(gatehouse, ...args);

/** A command that succeeds and says nothing besides, and its lines of JSON. */
async function json(...args: string[]): Promise<any[]> {
  const { lines, stderr } = await runJson(gatehouse, ...args);
  expect(stderr).toEqual([]);
  return lines;
}

/** What the operator has been recorded for, oldest first: of an account, or of none. */
async function recorded(subjectId: string | null): Promise<string[]> {
  const rows = await gatehouse.sql(
    `SELECT type, reason, outcome, actor_id FROM audit_events
     WHERE actor_type = 'operator' AND ${subjectId === null ? 'subject_id IS NULL' : 'subject_id = ?'} ORDER BY id`,
    subjectId === null ? [] : [subjectId],
  );
  for (const { outcome, actor_id } of rows) expect([outcome, actor_id]).toEqual(['success', userInfo().username]);
  return rows.map(({ type, reason }) => (reason === null ? type : `${type} ${reason}`));
}

const tryLogin = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });
const statusOf = async (token: string) => (await gatehouse.get('/users/me', { token })).status;

// Proves PCI 10.2.1.2: what an operator does is an event with their name
describe('one account', () => {
  testOnce('user:show, by address and by id, without a secret', async () => {
    const account = await gatehouse.signUp();
    await gatehouse.logIn(account, { headers: { 'User-Agent': 'a browser' } });
    await gatehouse.logIn(account);
    const { code, stdout } = await cli('user:show', account.email.toUpperCase());
    expect(code).toBe(0);
    const fields = Object.fromEntries(stdout.map((line) => line.split(/ {2,}/)));
    expect(fields).toMatchObject({ id: account.id, email: account.email, email_verified: 'no', live_sessions: '2' });
    expect(fields).toMatchObject({ disabled_at: '-', deleted_at: '-', locked_until: '-' });

    const [shown, ...others] = await json('user:show', account.id.toUpperCase());
    expect(others).toEqual([]);
    expect(shown).toMatchObject({ id: account.id, email: account.email, live_sessions: 2, locked_until: null });
    expect(shown.sessions).toHaveLength(2);
    expect(shown.sessions[1]).toMatchObject({ user_agent: 'a browser', ip: '127.0.0.1', ended_at: null });
    const secrets = await gatehouse.sql(
      'SELECT seed, password_hash FROM sessions JOIN users ON users.id = user_id WHERE user_id = ?',
      [account.id],
    );
    expect(secrets).toHaveLength(2);
    for (const secret of secrets.flatMap((row) => Object.values<string>(row))) {
      expect(JSON.stringify(shown)).not.toContain(secret);
    }
    expect(await recorded(account.id)).toEqual(['sensitive_read user_show', 'sensitive_read user_show']);
  });

  testOnce('user:show tells of a lock', async () => {
    const account = await gatehouse.signUp();
    for (let i = 0; i < 10; i++) await tryLogin({ ...account, password: 'not this one' });
    const [{ locked_until }] = await json('user:show', account.email);
    expect(Date.parse(locked_until)).toBeGreaterThan(Date.now() + 1_700_000);
    await gatehouse.sql('UPDATE login_failures SET consecutive = 100, locked_until = NULL WHERE failures = 10');
    expect(await json('user:show', account.email)).toMatchObject([{ locked_until: null, password_disabled: true }]);
  });

  // Proves ASVS 6.3.8, CS Authentication: what is wrong with an account is told after the right password alone
  // Proves ASVS 7.4.2: an account that is disabled or deleted loses every session at once
  test('user:disable ends its sessions at once, and user:enable lets it in again', async () => {
    const account = await gatehouse.signUp();
    const before = await gatehouse.logIn(account);
    expect(await statusOf(before.access_token)).toBe(200);

    const { code, stdout } = await cli('user:disable', account.email);
    expect([code, stdout]).toEqual([0, [expect.stringMatching(`^${account.email} \\(${account.id}\\) is disabled`)]]);
    expect(await statusOf(before.access_token)).toBe(401);
    expect((await gatehouse.post('/auth/refresh', { refresh_token: before.refresh_token })).status).toBe(401);
    const login = await tryLogin(account);
    expect([login.status, login.body.code]).toEqual([403, 'account_disabled']);
    expect((await tryLogin({ ...account, password: 'not this one' })).status).toBe(401);

    const again = await cli('user:disable', account.id);
    expect(again).toMatchObject({
      code: 0,
      stdout: [expect.stringMatching(/^Nothing to do: .* is disabled already\.$/)],
    });

    expect(await json('user:enable', account.id)).toEqual([{ id: account.id, email: account.email, changed: true }]);
    expect(await statusOf(before.access_token)).toBe(401);
    const after = await gatehouse.logIn(account);
    expect(await statusOf(after.access_token)).toBe(200);
    expect(await json('user:enable', account.email)).toMatchObject([{ changed: false }]);
    expect(await json('user:disable', account.id)).toMatchObject([{ changed: true }]);
    expect(await recorded(account.id)).toEqual([
      'user_updated disabled',
      'user_updated enabled',
      'user_updated disabled',
    ]);
  });

  // Proves ASVS 7.4.5: an operator ends the sessions of a person
  testOnce('user:logout ends its sessions and leaves the account as it is', async () => {
    const account = await gatehouse.signUp();
    const sessions = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
    expect(await json('user:logout', account.email)).toMatchObject([{ changed: true, sessions_ended: 2 }]);
    for (const { access_token } of sessions) expect(await statusOf(access_token)).toBe(401);
    const { access_token } = await gatehouse.logIn(account);
    expect((await cli('user:logout', account.id)).stdout[0]).toMatch(/ is logged out of 1 session\.$/);
    expect(await statusOf(access_token)).toBe(401);
    expect((await cli('user:logout', account.id)).stdout[0]).toMatch(/^Nothing to do: .* is logged in nowhere\.$/);
    expect((await recorded(account.id)).slice(0, 2)).toEqual([
      'session_logout ended_by_operator',
      'session_logout ended_by_operator',
    ]);
  });

  test('user:delete needs --yes where nobody can be asked; then the address is free', async () => {
    const [byEmail, byId] = [await gatehouse.signUp(), await gatehouse.signUp()];
    const { access_token } = await gatehouse.logIn(byEmail);
    const refused = await cli('user:delete', byEmail.email);
    expect([refused.code, refused.stdout]).toEqual([1, []]);
    expect(refused.stderr).toEqual([expect.stringContaining('--yes')]);
    expect(await statusOf(access_token)).toBe(200);
    expect(await recorded(byEmail.id)).toEqual([]);

    expect((await cli('user:delete', byEmail.email, '--yes')).code).toBe(0);
    expect(await statusOf(access_token)).toBe(401);
    expect((await tryLogin(byEmail)).status).toBe(401);
    expect((await gatehouse.signUp({ email: byEmail.email })).id).not.toBe(byEmail.id);
    expect(await json('user:delete', byId.id, '--yes')).toMatchObject([{ id: byId.id, changed: true }]);
    expect(await json('user:delete', byId.id, '--yes')).toMatchObject([{ id: byId.id, changed: false }]);
    expect((await cli('user:disable', byId.id)).stdout[0]).toMatch(/^Nothing to do: .* is deleted\.$/);
    expect((await json('user:show', byId.id))[0].deleted_at).not.toBeNull();
    for (const { id } of [byEmail, byId]) expect((await recorded(id))[0]).toMatch(/^user_(archived|deleted)$/);
  });

  testOnce('on a terminal user:delete asks for the address, and takes nothing else', async () => {
    const account = await gatehouse.signUp();
    const { access_token } = await gatehouse.logIn(account);
    for (const answer of ['yes\r', `x${account.email}\r`, '\x03', '\x04']) {
      const terminal = new Terminal(gatehouse.env, 'user:delete', account.email);
      await terminal.shows(/Type the e-mail address to delete ada\.\w+@example\.com: /);
      terminal.type(answer);
      expect((await terminal.ended).code, terminal.text).toBe(1);
      expect(terminal.text).toContain('Nothing was deleted: that is not the address.');
    }
    expect(await statusOf(access_token)).toBe(200);

    const terminal = new Terminal(gatehouse.env, 'user:delete', account.id);
    await terminal.shows(/Type the e-mail address/);
    terminal.type(`${account.email.toUpperCase()}\r`);
    expect((await terminal.ended).code, terminal.text).toBe(0);
    expect(terminal.text).toMatch(/ is deleted\./);
    expect(await statusOf(access_token)).toBe(401);
  });

  testOnce('an account that is not there', async () => {
    const commands = ['show', 'disable', 'enable', 'logout'].map((name) => [`user:${name}`, 'nobody@example.com']);
    commands.push(['user:delete', 'nobody@example.com', '--yes']);
    commands.push(['user:show', randomUUID()], ['user:show', '\x1b[2J']);
    for (const [args, ended] of commands.map((args) => [args, cli(...args)] as const)) {
      const stderr = [`There is no account ${args[1]?.replace('\x1b', '\ufffd')}.`];
      expect(await ended, args.join(' ')).toEqual({ code: 1, stdout: [], stderr });
    }
  });

  // It ends before it has looked at any database, and need not end once for each.
  testOnce('a command that is written wrong ends with 2, and help with 0', async () => {
    const someId = randomUUID();
    const wrong = [['user:show'], ['user:show', 'a', 'b'], ['user:shou', 'a'], ['user:import'], [], ['user:show', 'a', '--yes'],
      ['mail:retry'], ['mail:retry', 'x'], ['mail:retry', someId, '--all']]; // prettier-ignore
    wrong.push(['audit:purge'], ['audit:purge', '--before', 'yesterday'], ['audit:verify', '--since', '2026-02-30']);
    wrong.push(['audit:verify', '--head', '3'], ['audit:export', '--format', 'csv']);
    for (const [args, ended] of wrong.map((args) => [args, cli(...args)] as const)) {
      const { code, stdout, stderr } = await ended;
      expect([code, stdout], args.join(' ')).toEqual([2, []]);
      expect(stderr).not.toEqual([]);
    }
    expect(await cli('--help')).toMatchObject({ code: 0, stderr: [] });
  });

  testOnce('a wrong master key is refused', async () => {
    await gatehouse.signUpAndLogIn();
    const other = { ...gatehouse.env, MASTER_KEY: Buffer.from(randomUUID().slice(0, 32)).toString('base64') };
    const { code, program } = await runCli(other, 'user:show', 'nobody@example.com');
    expect(code).toBe(1);
    expect(program.stderr.join('\n')).toMatch(/^The configuration is refused:\n {2}- MASTER_KEY opens no signing key/m);
  });

  // In production alone, and that is never SQLite, an operator has to migrate.
  if (isDatabaseServer()) {
    test('a database that is not migrated', async () => {
      const { MASTER_KEY } = gatehouse.env;
      const env = {
        NODE_ENV: 'production',
        DATABASE_URL: await temporaryDatabase(),
        MASTER_KEY,
        EMAIL_VERIFICATION: 'none',
      };
      const { code, program } = await runCli(env, 'user:show', 'nobody@example.com');
      expect([code, program.stdout, program.stderr]).toEqual([1, [], ['A migration is pending: run migrate first.']]);
    });
  }
});

describeOnce('mails that were given up', () => {
  /** A mail that nobody could deliver. */
  async function addDead(): Promise<{ id: string; email: string }> {
    const { email } = newAccount();
    const outbox = gatehouse.app.get(Outbox, { strict: false });
    const id = await inTransaction(gatehouse.dataSource, async (transaction) => {
      await outbox.add({ userId: null, email }, { kind: 'account_deleted' }, transaction);
      const [row] = await transaction.query<{ id: string }[]>('SELECT id FROM outbox WHERE recipient = ?', [email]);
      await transaction.query(
        `UPDATE outbox SET dead_at = created_at, next_attempt_at = NULL, last_error = 'EENVELOPE 550' WHERE recipient = ?`,
        [email],
      );
      return row!.id;
    });
    return { id, email };
  }

  test('mail:dead lists them, mail:retry has them sent', async () => {
    expect((await cli('mail:dead')).stdout).toEqual(['No mail was given up.']);
    expect(await json('mail:dead')).toEqual([]);
    const [first, second, third] = [await addDead(), await addDead(), await addDead()];

    const { code, stdout } = await cli('mail:dead');
    expect(code).toBe(0);
    expect(stdout).toHaveLength(3);
    expect(stdout[2]).toMatch(`${first.id}  20`);
    expect(stdout[2]).toMatch(`Z  account_deleted  ${first.email}  EENVELOPE 550`);
    const mails = await json('mail:dead');
    expect(mails.map(({ id, recipient }) => ({ id, email: recipient }))).toEqual([third, second, first]);
    expect(mails[0]).toMatchObject({
      kind: 'account_deleted',
      user_id: null,
      attempts: 0,
      last_error: 'EENVELOPE 550',
    });
    expect(Object.keys(mails[0])).not.toContain('content');

    expect((await cli('mail:retry', first.id.toUpperCase(), randomUUID())).stdout).toEqual(['1 will be tried again.']);
    expect(await gatehouse.mails(first.email)).toHaveLength(1);
    expect(await json('mail:retry', '--all')).toEqual([{ retried: 2 }]);
    for (const { email } of [second, third]) expect(await gatehouse.mails(email)).toHaveLength(1);
    expect((await cli('mail:retry', first.id)).stdout[0]).toMatch(/^Nothing to do/);
    expect(await json('mail:dead')).toEqual([]);

    const reads = Array.from({ length: 5 }, () => 'sensitive_read mail_dead');
    const retries = ['sensitive_update mail_retry', 'sensitive_update mail_retry'];
    expect((await recorded(null)).sort()).toEqual([...reads, ...retries]);
    const details = await gatehouse.sql(`SELECT details FROM audit_events WHERE reason = 'mail_retry' ORDER BY id`);
    expect(details.map((row) => JSON.parse(row.details))).toEqual([{ count: 1 }, { count: 2 }]);
  });
});

describe('user:import', () => {
  const ANY_HASH = `$2b$04$${'a'.repeat(53)}`;
  let fileNumber = 0;

  const lineOf = (fields: object) =>
    JSON.stringify({
      password_hash: ANY_HASH,
      email_verified: true,
      created_at: '2020-01-02T03:04:05.678Z',
      ...fields,
    });
  const lines = (count: number, domain: string) =>
    Array.from({ length: count }, (_, i) => lineOf({ email: `user${i}@${domain}`, email_verified: i % 2 === 0 }));
  const newDomain = () => `d${++fileNumber}.example`;

  function fileOf(content: string | Buffer): string {
    const path = join(temporaryFolder(), 'users.jsonl');
    writeFileSync(path, content);
    return path;
  }

  const rowsOf = (domain: string) =>
    gatehouse.sql<any>('SELECT * FROM users WHERE email_canonical LIKE ? ORDER BY email_canonical', [`%@${domain}`]);

  async function count(domain: string): Promise<number> {
    const [{ n }] = await gatehouse.sql('SELECT COUNT(*) AS n FROM users WHERE email_canonical LIKE ?', [
      `%@${domain}`,
    ]);
    return Number(n);
  }

  /** Every account of the domain has one address, one event and nothing that is pending. */
  async function expectWhole(domain: string, accounts: number): Promise<void> {
    const rows = await rowsOf(domain);
    expect(rows).toHaveLength(accounts);
    expect(new Set(rows.map((row) => row.email_canonical)).size).toBe(accounts);
    const events = await gatehouse.sql(
      `SELECT e.subject_id, e.type, e.actor_type, e.actor_id, e.outcome FROM audit_events e JOIN users u ON u.id = e.subject_id
       WHERE e.reason = 'import' AND u.email_canonical LIKE ?`,
      [`%@${domain}`],
    );
    expect(events).toHaveLength(accounts);
    expect(new Set(events.map((event) => event.subject_id)).size).toBe(accounts);
    const facts = new Set(events.map((e) => [e.type, e.actor_type, e.actor_id, e.outcome].join(' ')));
    expect([...facts]).toEqual([`user_created operator ${userInfo().username} success`]);
  }

  testOnce('makes accounts, and may be repeated', async () => {
    const domain = newDomain();
    const path = fileOf(`\ufeff${lines(450, domain).join('\r\n\r\n')}\r\n`);
    expect(await cli('user:import', '--file', path)).toEqual({
      code: 0,
      stdout: ['imported 450, skipped 0, bad 0'],
      stderr: [],
    });
    await expectWhole(domain, 450);
    const rows = await rowsOf(domain);
    expect(rows.filter((row) => Number(row.email_verified) === 1)).toHaveLength(225);
    for (const row of rows) {
      expect(row).toMatchObject({ pending_since: null, last_login_at: null, disabled_at: null, deleted_at: null });
      expect(new Date(row.created_at).toISOString()).toBe('2020-01-02T03:04:05.678Z');
    }
    expect(new Set(rows.map((row) => row.password_hash)).size, 'sealed each for its own account').toBe(450);
    for (const row of rows) expect(row.password_hash).toMatch(/^bcrypt:[0-9a-f]{8}\.[\w-]+$/);

    expect(await json('user:import', '--file', path)).toEqual([{ imported: 0, skipped: 450, bad: 0 }]);
    expect(await rowsOf(domain)).toEqual(rows);
    await expectWhole(domain, 450);
  });

  test('an imported password opens its account, and is ours from then on', async () => {
    const domain = newDomain();
    const accounts = await Promise.all(
      (['2a', '2b', '2y'] as const).map(async (kind) => {
        const account = newAccount({ email: `Kind-${kind}@${domain}` });
        const hash = await bcrypt.hash(account.password, bcrypt.genSaltSync(5, kind === '2a' ? 'a' : 'b'));
        return { ...account, hash: `$${kind}${hash.slice(3)}` };
      }),
    );
    const path = fileOf(accounts.map(({ email, hash }) => lineOf({ email, password_hash: hash })).join('\n'));
    expect((await cli('user:import', '--file', path)).code).toBe(0);
    const before = await rowsOf(domain);
    for (const { hash } of accounts) {
      expect(hash).toMatch(/^\$2[aby]\$05\$.{53}$/);
      expect(JSON.stringify(before)).not.toContain(hash.slice(7));
    }
    for (const [i, account] of accounts.entries()) {
      expect((await tryLogin({ ...account, password: `${account.password}x` })).status).toBe(401);
      expect(before[i].password_hash).toMatch(/^bcrypt:/);
      const { access_token } = await gatehouse.logIn(account);
      expect((await gatehouse.get('/users/me', { token: access_token })).body.email).toBe(account.email);
      expect((await rowsOf(domain))[i].password_hash).toMatch(/^bcrypt-hmac-sha384:/);
      await gatehouse.logIn(account);
    }
  });

  testOnce('names bad lines without their values, and takes the others', async () => {
    const domain = newDomain();
    const good = lineOf({ email: `good@${domain}` });
    const file = [
      good,
      'canary',
      '["canary"]',
      lineOf({ email: `two@${domain}` }).replace('}', ',"email":"canary@example.com"}'),
      lineOf({ email: 'canary' }),
      lineOf({ email: `a@${domain}`, password_hash: 'canary' }),
      lineOf({ email: `b@${domain}`, password_hash: `$2b$16$${'a'.repeat(53)}` }),
      lineOf({ email: `c@${domain}`, password_hash: '$argon2id$v=19$canary' }),
      lineOf({ email: `d@${domain}`, email_verified: 'canary' }),
      lineOf({ email: `e@${domain}`, created_at: 'canary' }),
      lineOf({ email: `f@${domain}`, created_at: new Date(Date.now() + 60_000) }),
      lineOf({ email: `g@${domain}`, created_at: '1969-12-31T23:59:59Z' }),
      lineOf({ email: `h@${domain}`, plan: 'canary' }),
      JSON.stringify({ email: `i@${domain}` }),
      `${lineOf({ email: `j@${domain}` })}${' '.repeat(16_384)}`,
      lineOf({ email: `k@${domain}` }).padEnd(16_384),
      '',
      good.toUpperCase(),
      lineOf({ email: `Good@${domain.toUpperCase()}` }),
    ].join('\n');
    const { code, stdout, stderr } = await cli('user:import', '--file', fileOf(file));
    expect(stderr).toEqual([
      'line 2: not JSON',
      'line 3: no JSON object',
      'line 4: a field is there twice',
      'line 5: email is no address that is accepted',
      'line 6: password_hash is no bcrypt hash',
      'line 7: password_hash has a cost above 15',
      'line 8: password_hash is no bcrypt hash',
      'line 9: email_verified is no boolean',
      'line 10: created_at is no date and time of RFC 3339',
      'line 11: created_at is in the future',
      'line 12: created_at is before 1970',
      'line 13: plan is no field of ours',
      'line 14: password_hash is missing',
      'line 15: longer than 16384 bytes',
      'line 18: not JSON',
    ]);
    expect([code, stdout]).toEqual([1, ['imported 2, skipped 1, bad 15']]);
    expect((await rowsOf(domain)).map((row) => row.email)).toEqual([`good@${domain}`, `k@${domain}`]);
    await expectWhole(domain, 2);
  });

  test('an account that is there is not changed', async () => {
    const account = await gatehouse.signUp();
    const before = await gatehouse.sql('SELECT * FROM users WHERE id = ?', [account.id]);
    const path = fileOf(lineOf({ email: account.email.toUpperCase() }));
    expect(await json('user:import', '--file', path)).toEqual([{ imported: 0, skipped: 1, bad: 0 }]);
    expect(await gatehouse.sql('SELECT * FROM users WHERE id = ?', [account.id])).toEqual(before);
    expect(await recorded(account.id)).toEqual([]);
    await gatehouse.logIn(account);
  });

  testOnce('a file that cannot be read', async () => {
    for (const [path, code] of [
      ['missing.jsonl', 'ENOENT'],
      [temporaryFolder(), 'EISDIR'],
    ] as const) {
      const stderr = [`${path} cannot be read (${code})`];
      expect(await cli('user:import', '--file', path)).toEqual({ code: 1, stdout: [], stderr });
    }
    expect(await cli('user:import', '--file', fileOf(''))).toMatchObject({
      code: 0,
      stdout: ['imported 0, skipped 0, bad 0'],
    });
  });

  test('two imports of one file at once give each account once', async () => {
    const domain = newDomain();
    const path = fileOf(lines(2_000, domain).join('\n'));
    const both = await Promise.all([1, 2].map(() => json('user:import', '--file', path)));
    const [one, other] = both.map(([counts]) => counts);
    expect(one.imported + other.imported).toBe(2_000);
    for (const { imported, skipped, bad } of [one, other]) expect([imported + skipped, bad]).toEqual([2_000, 0]);
    await expectWhole(domain, 2_000);
  });

  test('a kill in the middle loses nothing, and a repeat completes', async () => {
    const domain = newDomain();
    const all = lines(2_000, domain);
    const program = run('cli', gatehouse.env, { args: ['user:import', '--file', '-'], stdin: 'pipe' });
    program.stdin.on('error', () => {}); // it is killed before it has read everything
    program.stdin.write(`${all.slice(0, 1_900).join('\n')}\n`); // and waits for more: it cannot end before it is killed
    await until(async () => (await count(domain)) >= 600, 1);
    await program.kill('SIGKILL');
    const done = await count(domain);
    expect(done % 200, 'a batch is there or not').toBe(0);
    await expectWhole(domain, done);

    const path = fileOf(all.join('\n'));
    expect(await json('user:import', '--file', path)).toEqual([{ imported: 2_000 - done, skipped: done, bad: 0 }]);
    await expectWhole(domain, 2_000);
  });

  testOnce('Ctrl-C ends it after the batch, with what was done', async () => {
    const domain = newDomain();
    const program = run('cli', gatehouse.env, { args: ['user:import', '--file', '-'], stdin: 'pipe' });
    // There is always more: it can neither have ended before nor be waiting.
    const endless = (function* () {
      for (let i = 0; ; i++) yield `${lineOf({ email: `user${i}@${domain}` })}\n`;
    })();
    pipeline(endless, program.stdin).catch(() => {}); // nobody reads it to its end
    await until(async () => (await count(domain)) >= 200);
    expect(await program.kill('SIGINT')).toEqual({ code: 1, signal: null });
    const done = await count(domain);
    expect(program.stdout).toEqual([`imported ${done}, skipped 0, bad 0`]);
    expect(program.stderr).toEqual(['Interrupted: the same command goes on from here.']);
    await expectWhole(domain, done);
  });

  testOnce('standard input, and Ctrl-C while it waits for more', async () => {
    const domain = newDomain();
    const program = run('cli', gatehouse.env, { args: ['user:import', '--file', '-'], stdin: 'pipe' });
    program.stdin.write(`${lines(250, domain).join('\n')}\n`);
    await until(async () => (await count(domain)) === 200);
    expect(await program.kill('SIGINT')).toEqual({ code: 1, signal: null });
    expect(program.stdout).toEqual(['imported 250, skipped 0, bad 0']);

    const rest = run('cli', gatehouse.env, { args: ['user:import', '--file', '-', '--json'], stdin: 'pipe' });
    rest.stdin.end(lines(300, domain).join('\n'));
    expect((await rest.ended).code, rest.output).toBe(0);
    expect(rest.stdout).toEqual(['{"imported":50,"skipped":250,"bad":0}']);
    await expectWhole(domain, 300);
  });

  testOnce('on a terminal it shows how far it is', async () => {
    const domain = newDomain();
    const all = lines(3_000, domain);
    all[1_500] = 'canary';
    const terminal = new Terminal(gatehouse.env, 'user:import', '--file', fileOf(all.join('\n')));
    expect((await terminal.ended).code, terminal.text).toBe(1);
    expect(terminal.text).toMatch(/\r\x1b\[K\d+ lines, \d+ %/);
    expect(terminal.text).toContain('\r\x1b[Kline 1501: not JSON\r\n');
    expect(terminal.text).toMatch(/(?:\x1b\[K|\n)imported 2999, skipped 0, bad 1\r\n$/);
  });

  testOnce('its memory does not grow with the file', { timeout: 240_000 }, async () => {
    const domain = newDomain();
    const path = join(temporaryFolder(), 'users.jsonl');
    const file = createWriteStream(path);
    // 100 MB, in a heap that holds the program and little else.
    for (let i = 0; i < 50_000; i++) {
      if (!file.write(`${lineOf({ email: `user${i}@${domain}` }).padEnd(2_048)}\n`)) await once(file, 'drain');
    }
    file.end();
    await once(file, 'close');
    const env = { ...gatehouse.env, NODE_OPTIONS: '--max-old-space-size=112' };
    const { code, program } = await runCli(env, 'user:import', '--file', path);
    expect(code, program.output).toBe(0);
    expect(program.stdout).toEqual(['imported 50000, skipped 0, bad 0']);
    expect(await count(domain)).toBe(50_000);
  });
});

describeOnce('the audit trail', () => {
  const seal = () => gatehouse.app.get(AuditSealer).sealAll();
  beforeAll(() => gatehouse.app.get(AuditSealer).stop());

  // Proves ASVS 16.4.2, PCI 10.3.2, PCI 10.3.4: whatever somebody changes, removes, inserts or reorders in the audit trail is found
  // Proves PCI 10.2.1.3: reading the audit trail is an event
  test('audit:verify says ok, or what was touched; audit:head is what it can be held against', async () => {
    await gatehouse.signUpAndLogIn();
    await seal();
    const [kept] = await json('audit:head');
    expect(Object.keys(kept)).toEqual(['number', 'hash', 'sealed_at']);
    const head = `${kept.number}:${kept.hash}`;
    expect((await cli('audit:head')).stdout).toEqual([`${head}  ${kept.sealed_at}`]);

    const { code, stdout, stderr } = await cli('audit:verify', '--head', head);
    expect([code, stderr]).toEqual([0, []]);
    expect(stdout).toEqual([
      expect.stringMatching(`^ok: \\d+ events in ${kept.number} seals, 3 waiting since \\S+, head ${head}$`),
    ]);
    expect(await json('audit:verify', '--since', '2020-01-01', '--until', '2020-01-02T00:00:00Z')).toEqual([
      {
        ok: true,
        events: 0,
        seals: 0,
        purged_seals: 0,
        waiting: 0,
        waiting_since: null,
        head: null,
        findings: [],
        finding_count: 0,
      },
    ]);

    await seal();
    const [{ id }] = await gatehouse.sql("SELECT id FROM audit_events WHERE type = 'user_created' ORDER BY id LIMIT 1");
    await gatehouse.sql('UPDATE audit_events SET ip = ? WHERE id = ?', ['192.0.2.66', id]);
    const broken = await cli('audit:verify', '--head', `${kept.number}:${'A'.repeat(43)}`);
    expect(broken).toMatchObject({ code: 1, stderr: [] });
    expect(broken.stdout).toEqual([
      `chain: seal ${kept.number}`,
      expect.stringMatching(`^changed: event ${id} \\(seal \\d+\\)$`),
    ]);
    expect(await recorded(null)).toEqual(expect.arrayContaining(['sensitive_read audit_verify']));
    await gatehouse.sql('UPDATE audit_events SET ip = ? WHERE id = ?', ['127.0.0.1', id]);
  });

  // Proves PCI 10.2.1.3: reading the audit trail is an event
  test('audit:export writes every event, and ends when nobody reads on', async () => {
    const entries = Array.from({ length: 500 }, (_, i) => ({ type: 'sys_startup' as const, actor: { type: 'system' as const }, details: { i } })); // prettier-ignore
    for (let i = 0; i < 6; i++) await gatehouse.app.get(AuditTrail).recordAll(entries);
    const { code, stdout } = await cli('audit:export');
    expect(code).toBe(0);
    const events = stdout.map((line) => JSON.parse(line));
    const rows = await gatehouse.sql('SELECT id FROM audit_events ORDER BY at, id');
    expect(events.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
    expect(events.at(-1)).toMatchObject({ type: 'sensitive_read', reason: 'audit_export', actor_type: 'operator' });
    expect(Object.keys(events[0])).not.toContain('mac');
    expect((await cli('audit:export', '--until', '2020-01-01', '--format', 'jsonl')).stdout).toEqual([]);

    const words = [process.execPath, resolve('dist/src/cli.js')].map((word) => `'${word}'`).join(' ');
    const head = await promisify(exec)(`${words} audit:export | head -n 1`, {
      env: { ...process.env, ...gatehouse.env },
    });
    expect(head).toEqual({ stdout: `${stdout[0]}\n`, stderr: '' });
  });

  test('audit:purge deletes what is old, and the rest is whole', async () => {
    await seal();
    expect((await cli('audit:purge', '--before', '2020-01-01')).stdout).toEqual([
      'Nothing to do: no event is that old.',
    ]);
    const count = (await gatehouse.sql('SELECT id FROM audit_events')).length;
    const before = new Date(Date.now() + 1).toISOString();
    expect(await json('audit:purge', '--before', before)).toEqual([{ purged: count }]);
    expect((await json('audit:verify'))[0]).toMatchObject({ ok: true, events: 0 });
  });
});

// In production, which is never SQLite, the trail has to be kept.
if (isDatabaseServer()) {
  // Proves PCI 10.5.1: no event is deleted before it is a year old
  test('audit:purge refuses in production what is not a year old', async () => {
    const env = {
      ...gatehouse.env,
      NODE_ENV: 'production',
      SMTP_URL: '',
      EMAIL_VERIFICATION: 'none',
      BCRYPT_COST: '12',
      RATE_LIMITS: 'on',
    };
    const before = new Date(Date.now() - 364 * 86_400_000).toISOString();
    const { code, program } = await runCli(env, 'audit:purge', '--before', before);
    const stderr = ['Nothing was deleted: in production events are kept for 12 months.'];
    expect([code, program.stdout, program.stderr]).toEqual([1, [], stderr]);
  });
}
