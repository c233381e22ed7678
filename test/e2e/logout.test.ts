import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

test('sign up, log in, use the token, log out: the token is dead at once', async () => {
  const { access_token: token, refresh_token } = await gatehouse.signUpAndLogIn();
  expect((await gatehouse.get('/users/me', { token })).status).toBe(200);

  expect((await gatehouse.post('/auth/logout', undefined, { token })).status).toBe(204);

  const refused = await gatehouse.get('/users/me', { token });
  expect(refused.status).toBe(401);
  expect(refused.body.code).toBe('invalid_token');
  const refresh = await gatehouse.post('/auth/refresh', { refresh_token });
  expect(refresh.status).toBe(401);
  expect(refresh.body.code).toBe('invalid_refresh_token');
});
