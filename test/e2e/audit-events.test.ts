import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { AUDIT_EVENT_TYPES, type AuditEventType } from '../../src/audit/audit-event.entity.js';
import { AuditSealer } from '../../src/audit/audit-sealer.js';
import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import { makeService } from '../support/service-client.js';
import { AccountAdministrationService } from '../../src/auth/account/account-administration.service.js';
import { PasswordAttempts } from '../../src/auth/password-attempts.js';
import { PurgeService } from '../../src/auth/purge.service.js';
import { activeOf, KeyRotation } from '../../src/tokens/key-rotation.js';
import { UserRepository } from '../../src/users/user.repository.js';
import { newAccount, startGatehouse, type Account, type Answer, type Gatehouse } from '../support/gatehouse.js';
import { metric } from '../support/metrics.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({ TRUST_PROXY: '1' });
});
afterAll(() => gatehouse.stop());

interface Row {
  id: string;
  type: AuditEventType;
  outcome: string;
  actor_type: string;
  actor_id: string | null;
  subject_id: string | null;
  session_id: string | null;
  ip: string | null;
  user_agent: string | null;
  request_id: string | null;
  reason: string | null;
  details: string | null;
}

/** The types that the flows below have shown. */
const shown = new Set<string>();
/** Of the other instances on the database. Nest has one logger for the process: the newest instance's. */
const logs: string[][] = [];

const allRows = () => gatehouse.sql<Row>('SELECT * FROM audit_events ORDER BY id');

/** The rows that some work adds. */
async function added(work: () => Promise<unknown>): Promise<Row[]> {
  const before = new Set((await allRows()).map(({ id }) => id));
  await work();
  const rows = (await allRows()).filter(({ id }) => !before.has(id));
  for (const { type } of rows) shown.add(type);
  return rows;
}

/** What a request has written, without what the rules of the system have made of it. */
async function outcomeOf(work: () => Promise<Answer>): Promise<{ answer: Answer; row: Row }> {
  let answer!: Answer;
  const rows = await added(async () => (answer = await work()));
  const outcomes = rows.filter((row) => row.actor_type !== 'system');
  expect(outcomes, JSON.stringify(rows)).toHaveLength(1);
  const row = outcomes[0] as Row;
  expect(row.request_id).toBe(answer.headers.get('x-request-id'));
  expect(row.ip).toBe('127.0.0.1');
  expect(row.user_agent).toBe('node');
  return { answer, row };
}

const wrong = 'not the right one';
const logIn = ({ email, password }: Account) => gatehouse.post('/auth/login', { email, password });

// Proves ASVS 16.2.1, ASVS 16.3.1, PCI 10.2.1.4, PCI 10.2.1.5, PCI 10.2.2: each flow, successful or not, leaves one event: what, who, about whom, from where, with what outcome
describe('each flow writes one outcome event', () => {
  test('sign-up', async () => {
    const account = newAccount();
    const { answer, row } = await outcomeOf(() => gatehouse.post('/auth/signup', account));
    expect(row).toMatchObject({ type: 'user_created', outcome: 'success', subject_id: answer.body.id });
    const again = await outcomeOf(() => gatehouse.post('/auth/signup', account));
    expect(again.row).toMatchObject({ type: 'user_created', outcome: 'failure', reason: 'email_taken' });
    expect(JSON.stringify(again.row)).not.toContain(account.email);
  });

  test('login', async () => {
    const account = await gatehouse.signUp();
    const { answer, row } = await outcomeOf(() => logIn(account));
    const { sid } = JSON.parse(Buffer.from(answer.body.access_token.split('.')[1], 'base64url').toString());
    const user = { actor_type: 'user', actor_id: account.id, subject_id: account.id };
    expect(row).toMatchObject({ type: 'authn_login_success', outcome: 'success', session_id: sid, ...user });
    const failed = await outcomeOf(() => logIn({ ...account, password: wrong }));
    expect(failed.row).toMatchObject({
      type: 'authn_login_fail',
      outcome: 'failure',
      reason: 'wrong_password',
      actor_type: 'anonymous',
      subject_id: account.id,
    });
    expect((await outcomeOf(() => logIn(account))).row.type).toBe('authn_login_successafterfail');
    const nobody = newAccount();
    const unknown = await outcomeOf(() => logIn(nobody));
    expect(unknown.row).toMatchObject({ type: 'authn_login_fail', reason: 'no_such_user', subject_id: null });
    expect(JSON.parse(unknown.row.details ?? '')).toEqual({ account: expect.stringMatching(/^[\w-]{43}$/) });
    expect(JSON.stringify(unknown.row)).not.toContain(nobody.email);
  });

  test('a login whose account changes between the check and the session: it counts for no lock', async () => {
    const account = await gatehouse.signUp();
    const before = await metric(gatehouse, 'gatehouse_login_attempts_total{result="account_changed"}');
    const spy = vi.spyOn(gatehouse.app.get(UserRepository), 'recordLogin').mockResolvedValue(false);
    const { answer, row } = await outcomeOf(() => logIn(account));
    spy.mockRestore();
    expect([answer.status, answer.body.code]).toEqual([401, 'invalid_credentials']);
    const entry = { outcome: 'failure', reason: 'account_changed', actor_type: 'anonymous', subject_id: account.id };
    expect(row).toMatchObject({ type: 'authn_login_fail', ...entry });
    expect(await metric(gatehouse, 'gatehouse_login_attempts_total{result="account_changed"}')).toBe(before + 1);
    const counter = gatehouse.app.get(PasswordAttempts).accountOf(account.email);
    const rows = await gatehouse.sql('SELECT failures, reserved FROM login_failures WHERE account = ?', [counter]);
    expect(rows).toEqual([{ failures: 0, reserved: 0 }]);
  });

  test('the failure that locks, and the one that ends the password', async () => {
    const account = await gatehouse.signUp();
    const guess = () => logIn({ ...account, password: wrong });
    for (let i = 0; i < 9; i++) await guess();
    const rows = await added(guess);
    expect(rows.map(({ type, actor_type }) => [type, actor_type])).toEqual([
      ['authn_login_fail', 'anonymous'],
      ['authn_login_lock', 'system'],
    ]);
    await gatehouse.sql('UPDATE login_failures SET consecutive = 99, failures = 3, locked_until = NULL');
    const last = await added(guess);
    expect(last.map(({ type }) => type)).toEqual(['authn_login_fail', 'authn_login_fail_max']);
  });

  test('refresh, and what is not one', async () => {
    const account = await gatehouse.signUp();
    const { refresh_token } = await gatehouse.logIn(account);
    const refresh = (token = refresh_token) => gatehouse.post('/auth/refresh', { refresh_token: token });
    const renewed = await outcomeOf(() => refresh());
    expect(renewed.row).toMatchObject({ type: 'session_renewed', outcome: 'success', subject_id: account.id });
    gatehouse.passSeconds(11);
    const replayed = await outcomeOf(() => refresh());
    gatehouse.passSeconds(-11);
    expect(replayed.row).toMatchObject({ type: 'authn_token_reuse', outcome: 'failure', subject_id: account.id });
    const late = await outcomeOf(() => refresh(renewed.answer.body.refresh_token));
    expect(late.row).toMatchObject({ type: 'session_use_after_expire', outcome: 'failure', reason: 'ended' });
    // Anybody can write the id of a session: without our mac it is nobody's.
    expect(await added(() => refresh(`${refresh_token.slice(0, -4)}AAAA`))).toEqual([]);
  });

  test('logout, everywhere, and of another session', async () => {
    const account = await gatehouse.signUp();
    const [one, two, three] = [
      await gatehouse.logIn(account),
      await gatehouse.logIn(account),
      await gatehouse.logIn(account),
    ];
    const out = await outcomeOf(() => gatehouse.post('/auth/logout', undefined, { token: one.access_token }));
    expect(out.row).toMatchObject({ type: 'session_logout', reason: 'logout', subject_id: account.id });
    expect(await added(() => gatehouse.post('/auth/logout', undefined, { token: one.access_token }))).toEqual([]);
    const { body } = await gatehouse.get('/auth/sessions', { token: two.access_token });
    const other = body.sessions.find(({ current }: { current: boolean }) => !current).id;
    const ended = await outcomeOf(() => gatehouse.delete(`/auth/sessions/${other}`, { token: two.access_token }));
    expect(ended.row).toMatchObject({ type: 'session_logout', reason: 'ended_by_user', session_id: other });
    expect((await gatehouse.get('/users/me', { token: three.access_token })).status).toBe(401);
    const all = await outcomeOf(() => gatehouse.post('/auth/logout-all', undefined, { token: two.access_token }));
    expect(all.row).toMatchObject({ type: 'session_logout', reason: 'logout_all' });
  });

  // Proves ASVS 16.3.2: a try at what is somebody else’s is an event
  test('a session of somebody else', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const account = await gatehouse.signUp();
    await gatehouse.logIn(account);
    const [session] = await gatehouse.sql('SELECT id FROM sessions WHERE user_id = ?', [account.id]);
    const { row } = await outcomeOf(() => gatehouse.delete(`/auth/sessions/${session.id}`, { token }));
    expect(row).toMatchObject({ type: 'authz_fail', outcome: 'failure', reason: 'session_of_another_user' });
  });

  test('a session whose time is up', async () => {
    const account = await gatehouse.signUp();
    await gatehouse.logIn(account);
    const rows = await added(async () => {
      gatehouse.passSeconds(604_801);
      await gatehouse.app.get(PurgeService).purge();
      await gatehouse.app.get(PurgeService).purge();
      gatehouse.passSeconds(-604_801);
    });
    const ours = rows.filter(({ subject_id }) => subject_id === account.id);
    expect(ours).toMatchObject([{ type: 'session_expired', actor_type: 'system' }]);
  });

  test('a new password: changed, refused, reset', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    const { password } = newAccount();
    const change = (current_password: string) =>
      gatehouse.put('/users/me/password', { current_password, new_password: password }, { token });
    const refused = await outcomeOf(() => change(wrong));
    expect(refused.row).toMatchObject({ type: 'authn_password_change_fail', outcome: 'failure', actor_id: account.id });
    const changed = await outcomeOf(() => change(account.password));
    expect(changed.row).toMatchObject({ type: 'authn_password_change', outcome: 'success', subject_id: account.id });
    const asked = await added(async () => {
      await gatehouse.post('/auth/password/forgot', { email: account.email });
      await gatehouse.sendMails();
    });
    const origin = { ip: '127.0.0.1', user_agent: 'node', subject_id: account.id };
    expect(asked).toMatchObject([{ type: 'authn_token_created', reason: 'reset_password', ...origin }]);
    const resetToken = await gatehouse.mailedToken(account.email, /^Reset/);
    const reset = { token: resetToken, new_password: newAccount().password };
    const { row } = await outcomeOf(() => gatehouse.post('/auth/password/reset', reset));
    expect(row).toMatchObject({ type: 'authn_password_change', outcome: 'success', reason: 'reset' });
  });

  test('another address, a copy of the data, the end', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    const current_password = account.password;
    const asked = { current_password, new_email: newAccount().email };
    const change = await outcomeOf(() => gatehouse.post('/users/me/email', asked, { token }));
    expect(change.row).toMatchObject({ type: 'user_updated', reason: 'email_change_requested' });
    const copy = await outcomeOf(() => gatehouse.get('/users/me/export', { token }));
    expect(copy.row).toMatchObject({ type: 'sensitive_read', reason: 'export' });
    const end = await outcomeOf(() => gatehouse.post('/users/me/deletion', { current_password }, { token }));
    expect(end.row).toMatchObject({ type: 'user_deleted', outcome: 'success', subject_id: account.id });
  });

  test('an end with days of grace', async () => {
    const patient = await gatehouse.another({ DELETION_GRACE_DAYS: '1' });
    const account = await patient.signUp();
    const { access_token: token } = await patient.logIn(account);
    const body = { current_password: account.password };
    const { row } = await outcomeOf(() => patient.post('/users/me/deletion', body, { token }));
    expect(row).toMatchObject({ type: 'user_archived', outcome: 'success', subject_id: account.id });
    patient.passSeconds(86_401);
    const rows = await added(() => patient.app.get(PurgeService).purge());
    expect(rows.filter(({ subject_id }) => subject_id === account.id)).toMatchObject([
      { type: 'user_deleted', actor_type: 'system' },
    ]);
    await patient.stop();
    logs.push(patient.logLines);
  });

  // Proves PCI 10.2.1.2: what an operator does is an event with their name
  test('what an operator does', async () => {
    const { id } = await gatehouse.signUp();
    const administration = gatehouse.app.get(AccountAdministrationService, { strict: false });
    const user = (await administration.find(id))!;
    const actor = { type: 'operator', id: 'grace' } as const;
    for (const [type, work] of [
      ['sensitive_read', () => administration.show(user, actor)],
      ['user_updated', () => administration.disable(user, actor)],
      ['user_updated', () => administration.enable(user, actor)],
      ['session_logout', () => administration.logOut(user, actor)],
      ['user_deleted', () => administration.delete(user, actor)],
    ] as const) {
      const [row] = await added(work);
      expect(row).toMatchObject({ type, actor_type: 'operator', actor_id: 'grace', subject_id: id });
    }
  });

  test('a signing key is rotated, and revoked', async () => {
    const rotation = gatehouse.app.get(KeyRotation, { strict: false });
    const actor = { type: 'operator', id: 'grace' } as const;
    const [rotated] = await added(() => rotation.rotate(actor));
    expect(rotated).toMatchObject({
      type: 'key_rotated',
      reason: 'rotated',
      actor_type: 'operator',
      actor_id: 'grace',
    });
    const { kid } = activeOf(await rotation.read())!.row;
    const rows = await added(() => rotation.revoke(kid, actor));
    expect(rows.map(({ type, reason, actor_type }) => [type, reason, actor_type])).toEqual([
      ['key_rotated', 'revoked', 'operator'],
      ['key_rotated', 'activated', 'system'],
      ['key_rotated', 'created', 'system'],
    ]);
    expect(JSON.parse(rows[0]?.details ?? '')).toMatchObject({ kid, number: 1 });
  });

  // Proves PCI 10.2.1.2: what an operator does is an event with their name
  test('what an operator does about a service', async () => {
    const clients = gatehouse.app.get(ServiceClientService);
    const actor = { type: 'operator', id: 'grace' } as const;
    const [created] = await added(() => clients.create('audited', ['https://a.example'], undefined, actor));
    const client = (await clients.find('audited'))!;
    const [rotated] = await added(() => clients.rotateSecret(client, actor));
    const [disabled] = await added(() => clients.disable(client, actor));
    const [listed] = await added(() => clients.list(actor));
    expect([created, rotated, disabled, listed].map((row) => [row?.type, row?.actor_id, row?.reason])).toEqual([
      ['privilege_permissions_changed', 'grace', 'client_created'],
      ['privilege_permissions_changed', 'grace', 'client_secret_rotated'],
      ['privilege_permissions_changed', 'grace', 'client_disabled'],
      ['sensitive_read', 'grace', 'client_list'],
    ]);
    expect(JSON.parse(created?.details as string)).toEqual({
      client_id: client.id,
      name: 'audited',
      audiences: 'https://a.example',
    });
  });

  test('a service that ends a session', async () => {
    const service = await makeService(gatehouse);
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const [row] = await added(() => service.revoke(token));
    expect(row).toMatchObject({ type: 'authn_token_revoked', actor_type: 'client', actor_id: service.id });
  });
});

// Proves ASVS 16.2.1, ASVS 16.3.1, PCI 10.2.1.4, PCI 10.2.1.5, PCI 10.2.2: each flow, successful or not, leaves one event: what, who, about whom, from where, with what outcome
test('every type has its flow', () => {
  // Shown elsewhere: the commands' in e2e/commands and integration/audit, the budgets' in e2e/rate-limits, the breach
  // check's in e2e/breached-passwords, and those of the process by this file's own start and stop.
  const elsewhere = [
    'sensitive_update',
    'sensitive_delete',
    'excess_rate_limit_exceeded',
    'sys_monitor_disabled',
    'sys_monitor_enabled',
    'sys_shutdown',
  ];
  shown.add('sys_startup');
  expect([...shown, ...elsewhere].sort()).toEqual([...AUDIT_EVENT_TYPES].sort());
});

// Proves ASVS 16.4.3, PCI 10.3.3: the log stream has every event, for a system elsewhere
// Proves PCI 10.2.1.6: the start of a process is an event
test('starting is recorded, and the log stream has what the table has, line by line', async () => {
  await gatehouse.app.get(AuditSealer).sealAll(); // then the log is told what operators did
  const rows = await allRows();
  expect(rows[0]).toMatchObject({ type: 'sys_startup', actor_type: 'system' });
  const all = [gatehouse.logLines, ...logs].flat().map((line) => JSON.parse(line));
  const lines = all.filter((line) => 'audit_id' in line);
  const byId = new Map(lines.map((line) => [line.audit_id, line]));
  expect(byId.size).toBe(lines.length);
  for (const row of rows) {
    expect(byId.get(row.id), row.type).toMatchObject({
      event: row.type,
      outcome: row.outcome,
      actor_type: row.actor_type,
      ...(row.subject_id && { subject_id: row.subject_id }),
      ...(row.reason && { reason: row.reason }),
      ...(row.request_id && { request_id: row.request_id }),
    });
  }
});

// Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
test('no secret and no address stands in a row', async () => {
  const text = JSON.stringify(await allRows());
  for (const secret of gatehouse.secrets) expect(text).not.toContain(secret);
  expect(text).not.toContain('@example.com');
});
