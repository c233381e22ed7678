import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves RFC 6749 §5.1, ASVS 14.3.2, ASVS 14.2.2: nothing but the key set may be stored by a cache
// Proves ASVS 8.2.2: a person sees their own history and nobody else’s
test('a person sees what happened to their account, newest first, page by page, and nothing of others', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.signUpAndLogIn();
  for (let i = 0; i < 3; i++) await gatehouse.post('/auth/login', { email: account.email, password: 'not this one' });
  const { access_token: token } = await gatehouse.logIn(account);
  const page = (query: string) => gatehouse.get(`/users/me/activity${query}`, { token });

  const first = await page('?limit=2');
  expect(first.status).toBe(200);
  expect(first.headers.get('cache-control')).toBe('no-store');
  expect(first.body.events.map(({ type }: { type: string }) => type)).toEqual([
    'authn_login_successafterfail',
    'authn_login_fail',
  ]);
  const second = await page(`?limit=2&cursor=${first.body.next_cursor}`);
  const third = await page(`?limit=2&cursor=${second.body.next_cursor}`);
  expect(third.body).toMatchObject({ events: [{ type: 'user_created', outcome: 'success' }], next_cursor: null });
  const all = await page('');
  expect(all.body.events).toEqual([...first.body.events, ...second.body.events, ...third.body.events]);
  expect(all.body.next_cursor).toBeNull();
  expect(all.body.events[0]).toMatchObject({ ip: '127.0.0.1', outcome: 'success', actor_type: 'user' });
});

// Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
test.each([
  ['limit=0', 'limit'],
  ['limit=101', 'limit'],
  ['limit=-1', 'limit'],
  ['limit=1e2', 'limit'],
  ['limit=', 'limit'],
  ['limit=1&limit=2', 'limit'],
  ['cursor=', 'cursor'],
  ['cursor=1', 'cursor'],
  ["cursor=' OR 1=1", 'cursor'],
  ['cursor[]=x', 'query'],
  ['page=2', 'query'],
])('?%s is a 422 that names %s', async (query, field) => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const { status, body } = await gatehouse.get(`/users/me/activity?${query}`, { token });
  expect(status).toBe(422);
  expect(body.errors.map((error: { field: string }) => error.field)).toContain(field);
});
