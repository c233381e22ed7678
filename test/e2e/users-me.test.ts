import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves ASVS 8.2.3, ASVS 14.2.6, ASVS 15.3.1: answers have the fields that are needed and no others
test('shows the account of the caller, and no more than that', async () => {
  const account = await gatehouse.signUp();
  const { access_token: token } = await gatehouse.logIn(account);
  const { status, body, headers } = await gatehouse.get('/users/me', { token });
  expect(status).toBe(200);
  expect(body).toEqual({ id: account.id, email: account.email, email_verified: false, created_at: expect.any(String) });
  expect(new Date(body.created_at).toISOString()).toBe(body.created_at);
  expect(headers.get('cache-control')).toBe('no-store');
});

test('a token whose account has gone is refused', async () => {
  const account = await gatehouse.signUp();
  const { access_token: token } = await gatehouse.logIn(account);
  await gatehouse.sql('DELETE FROM users WHERE id = ?', [account.id]);
  expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
  expect(await gatehouse.sql('SELECT * FROM sessions WHERE user_id = ?', [account.id])).toEqual([]);
});
