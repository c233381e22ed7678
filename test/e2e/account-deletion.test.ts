import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PurgeService } from '../../src/auth/purge.service.js';
import { startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const DAY = 86_400;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const remove = (instance: Gatehouse, token: string, password: string) =>
  instance.post('/users/me/deletion', { current_password: password }, { token });

/** Where in the database an address stands, as `table.column`. */
async function placesOf(text: string): Promise<string[]> {
  const tables = [
    'users',
    'sessions',
    'former_passwords',
    'one_time_tokens',
    'outbox',
    'mail_requests',
    'login_failures',
  ];
  const places: string[] = [];
  for (const table of [...tables, 'audit_events']) {
    for (const row of await gatehouse.sql(`SELECT * FROM ${table}`)) {
      for (const [column, value] of Object.entries(row)) {
        if (String(value).includes(text)) places.push(`${table}.${column}`);
      }
    }
  }
  return [...new Set(places)];
}

async function tokensOf(account: Account, instance = gatehouse) {
  return instance.logIn(account, { headers: { 'User-Agent': `browser of ${account.email}` } });
}

describe('at once', () => {
  // Proves ASVS 7.4.2: an account that is disabled or deleted loses every session at once
  // Proves ASVS 10.3.3: the id of an account is never given again
  // Proves GDPR 17: a deleted account is closed at once, and its data goes
  test('nobody logs in, every token is dead, the data is gone, the address is free, the id stays taken', async () => {
    const account = await gatehouse.signUp();
    const [mine, other] = [await tokensOf(account), await tokensOf(account)];
    await gatehouse.post('/auth/password/forgot', { email: account.email });
    const reset = await gatehouse.mailedToken(account.email, /^Reset/);

    const answer = await remove(gatehouse, mine.access_token, account.password);
    expect([answer.status, answer.text]).toEqual([204, '']);
    for (const { access_token: token, refresh_token } of [mine, other]) {
      expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
      expect((await gatehouse.post('/auth/refresh', { refresh_token })).status).toBe(401);
    }
    const { email, password } = account;
    expect((await gatehouse.post('/auth/login', { email, password })).body.code).toBe('invalid_credentials');
    const body = { token: reset, new_password: 'another violet kettle' };
    expect((await gatehouse.post('/auth/password/reset', body)).status).toBe(422);

    // The note that it is done needs the address until it is sent; the trail says from where it was used.
    await gatehouse.mail(email, /deleted/i);
    gatehouse.passSeconds(DAY + 10);
    await gatehouse.app.get(PurgeService).purge();
    gatehouse.passSeconds(-DAY - 10);
    expect(await placesOf(email)).toEqual(['audit_events.user_agent']);
    expect(await gatehouse.sql('SELECT id FROM users WHERE id = ?', [account.id])).toHaveLength(1);
    expect((await gatehouse.signUp({ email })).id).not.toBe(account.id);
  });

  // Proves ASVS 6.2.2, ASVS 6.2.3, ASVS 7.5.1: the present password before a change of password, address or life
  test('a wrong password is a 403 and deletes nothing', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await tokensOf(account);
    expect((await remove(gatehouse, token, 'not the right one')).body.code).toBe('wrong_password');
    await gatehouse.logIn(account);
  });

  // Proves ASVS 6.3.7, 63B-4 §4.2.3, 63B-4 §4.6: the owner is told of every change, at both addresses when it is the address
  test('of ten at once one deletes, and one note is sent', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await tokensOf(account);
    const answers = await Promise.all(Array.from({ length: 10 }, () => remove(gatehouse, token, account.password)));
    expect(answers.some(({ status }) => status === 204)).toBe(true);
    expect(answers.every(({ status }) => [204, 401, 403].includes(status))).toBe(true);
    const mails = await gatehouse.mails(account.email);
    expect(mails.filter(({ subject }) => /deleted/i.test(subject))).toHaveLength(1);
  });
});

// Proves GDPR 17: a deleted account is closed at once, and its data goes
test('with days of grace the data waits for them, and the account does not', async () => {
  const patient = await gatehouse.another({ DELETION_GRACE_DAYS: '2' });
  const account = await patient.signUp();
  const { access_token: token } = await tokensOf(account, patient);
  expect((await remove(patient, token, account.password)).status).toBe(204);
  expect((await patient.get('/users/me', { token })).status).toBe(401);
  const { email, password } = account;
  expect((await patient.post('/auth/login', { email, password })).status).toBe(401);
  await patient.signUp({ email });

  const row = async () => (await patient.sql('SELECT email FROM users WHERE id = ?', [account.id]))[0].email;
  const sessions = () => patient.sql('SELECT id FROM sessions WHERE user_id = ?', [account.id]);
  patient.passSeconds(2 * DAY - 5);
  await patient.app.get(PurgeService).purge();
  expect([await row(), (await sessions()).length]).toEqual([email, 1]);
  patient.passSeconds(10);
  await patient.app.get(PurgeService).purge();
  expect([await row(), (await sessions()).length]).toEqual(['', 0]);
  const types = await patient.sql('SELECT type FROM audit_events WHERE subject_id = ? ORDER BY id', [account.id]);
  expect(types.map(({ type }) => type)).toEqual([
    'user_created',
    'authn_login_success',
    'user_archived',
    'user_deleted',
  ]);
  await patient.stop();
});
