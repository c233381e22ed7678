import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves ours (Checking tokens): a proxy may ask whether a token is good, and is told whose it is by us alone
test('a good token is 204 with whose it is, whatever the request says itself', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const { sub, sid } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
  const headers = { 'X-User-Id': 'somebody', 'X-Session-Id': 'other' };
  const answer = await gatehouse.get('/auth/verify', { token, headers });
  expect([answer.status, answer.text]).toEqual([204, '']);
  expect(answer.headers.get('x-user-id')).toBe(sub);
  expect(answer.headers.get('x-session-id')).toBe(sid);
  expect(answer.headers.get('cache-control')).toBe('no-store');
});

test('anything else is 401 and names nobody, at once after a logout', async () => {
  const { access_token: token, refresh_token } = await gatehouse.signUpAndLogIn();
  await gatehouse.post('/auth/logout', undefined, { token });
  for (const wrong of [undefined, '', 'x', token, refresh_token]) {
    const answer = await gatehouse.get('/auth/verify', {
      ...(wrong !== undefined && { token: wrong }),
      headers: { 'X-User-Id': 'somebody' },
    });
    expect(answer.status, wrong).toBe(401);
    expect(answer.headers.get('www-authenticate'), wrong).toMatch(/^Bearer /);
    expect(answer.headers.get('x-user-id'), wrong).toBeNull();
  }
});
