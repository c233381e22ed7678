import { afterAll, beforeAll, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves RFC 6749 §5.1, ASVS 14.3.2, ASVS 14.2.2: nothing but the key set may be stored by a cache
// Proves ASVS 8.2.2: a person sees their own history and nobody else’s
// Proves GDPR 15, GDPR 20: a person gets everything that is held about them, and nothing secret
test('everything about the caller as a file, and nothing secret or of somebody else', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.signUpAndLogIn();
  const ended = await gatehouse.logIn(account);
  await gatehouse.post('/auth/logout', undefined, { token: ended.access_token });
  await gatehouse.post('/auth/login', { email: account.email, password: 'not the right one' });
  const { access_token: token } = await gatehouse.logIn(account, { headers: { 'User-Agent': 'a browser' } });
  const newEmail = newAccount().email;
  await gatehouse.post('/users/me/email', { current_password: account.password, new_email: newEmail }, { token });

  const { status, headers, body, text } = await gatehouse.get('/users/me/export', { token });
  expect(status).toBe(200);
  expect(headers.get('content-disposition')).toBe('attachment; filename="account.json"');
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  expect(headers.get('cache-control')).toBe('no-store');
  expect(body.account).toMatchObject({ id: account.id, email: account.email, email_verified: false });
  expect(body.sessions.map((session: { end_reason: string | null }) => session.end_reason)).toEqual([null, 'logout']);
  expect(body.sessions[0]).toMatchObject({ ip: '127.0.0.1', user_agent: 'a browser' });
  expect(body.pending_links).toMatchObject([{ purpose: 'change_email', new_email: newEmail }]);
  expect(body.mails.map(({ kind }: { kind: string }) => kind)).toContain('new_sign_in');
  expect(body.audit_events.map(({ type, reason }: { type: string; reason: string }) => [type, reason])).toEqual([
    ['user_created', null],
    ['authn_login_success', null],
    ['session_logout', 'logout'],
    ['authn_login_fail', 'wrong_password'],
    ['authn_login_successafterfail', null],
    ['user_updated', 'email_change_requested'],
    ['sensitive_read', 'export'],
  ]);
  const [{ password_hash, seed }] = await gatehouse.sql(
    'SELECT u.password_hash, s.seed FROM users u JOIN sessions s ON s.user_id = u.id WHERE u.id = ?',
    [account.id],
  );
  for (const secret of [account.password, password_hash, seed, token]) expect(text).not.toContain(secret);
});
