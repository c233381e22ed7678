import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { makeService, postForm, type Service } from '../support/service-client.js';

let gatehouse: Gatehouse;
let service: Service;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  service = await makeService(gatehouse);
});
afterAll(() => gatehouse.stop());

const statusOf = async (token: string) => (await gatehouse.get('/users/me', { token })).status;

// Proves RFC 7009 §2.2: a service ends the session of an access or a refresh token; all else is 200 too
test('ends the session of an access token, or of a refresh token, with all its tokens', async () => {
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const tokens = await gatehouse.signUpAndLogIn();
    const { status, text } = await service.revoke(tokens[kind]);
    expect([status, text], kind).toEqual([200, '']);
    expect(await statusOf(tokens.access_token), kind).toBe(401);
    const refresh = await gatehouse.post('/auth/refresh', { refresh_token: tokens.refresh_token });
    expect(refresh.status, kind).toBe(401);
    expect((await service.revoke(tokens[kind])).status, 'again').toBe(200);
    const { sid } = JSON.parse(Buffer.from(tokens.access_token.split('.')[1] as string, 'base64url').toString());
    const events = await gatehouse.sql("SELECT * FROM audit_events WHERE session_id = ? AND actor_type = 'client'", [
      sid,
    ]);
    expect(events).toMatchObject([{ type: 'authn_token_revoked', actor_id: service.id, outcome: 'success' }]);
  }
});

test('does nothing about what is not the client’s business, with the same answer', async () => {
  const tokens = await gatehouse.signUpAndLogIn();
  const other = await makeService(gatehouse, ['https://other.example']);
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const { status, text } = await other.revoke(tokens[kind]);
    expect([status, text], kind).toEqual([200, '']);
  }
  expect((await service.revoke('x')).status).toBe(200);
  expect((await service.revoke(`${tokens.access_token}x`)).status).toBe(200);
  expect(await statusOf(tokens.access_token)).toBe(200);
});

test('needs a client, and a token', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  expect((await postForm(gatehouse, '/oauth/revoke', { token })).body.error).toBe('invalid_client');
  const { status, body } = await service.form('/oauth/revoke', {});
  expect([status, body.error]).toEqual([400, 'invalid_request']);
  expect(await statusOf(token)).toBe(200);
});
