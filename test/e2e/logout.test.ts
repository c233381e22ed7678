import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RevocationRepository } from '../../src/tokens/revocation.repository.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const meStatus = async (token: string) => (await gatehouse.get('/users/me', { token })).status;
const logOut = (token?: string, json?: unknown) =>
  gatehouse.post('/auth/logout', json, token === undefined ? {} : { token });
const refreshStatus = async (refresh_token: string) =>
  (await gatehouse.post('/auth/refresh', { refresh_token })).status;

// Proves ASVS 7.4.1, ASVS 7.2.1: a logged-out session’s tokens are refused on the next request, by every instance
test('sign up, log in, use the token, log out: the token is dead at once', async () => {
  const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
  expect(await meStatus(access_token)).toBe(200);
  const { status, text } = await logOut(access_token);
  expect([status, text]).toEqual([204, '']);
  expect(await meStatus(access_token)).toBe(401);
  expect(await refreshStatus(refresh_token)).toBe(401);
});

// Proves ASVS 7.4.1, ASVS 7.2.1: a logged-out session’s tokens are refused on the next request, by every instance
test('every access token of the session dies, no other session does', async () => {
  const account = await gatehouse.signUp();
  const [here, there] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
  const refreshed = (await gatehouse.post('/auth/refresh', { refresh_token: here.refresh_token })).body;
  await logOut(refreshed.access_token);
  expect(await meStatus(here.access_token)).toBe(401);
  expect(await meStatus(refreshed.access_token)).toBe(401);
  expect(await meStatus(there.access_token)).toBe(200);
  expect(await refreshStatus(there.refresh_token)).toBe(200);
});

describe('is idempotent: 204', () => {
  test('again, with the same tokens', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    expect((await logOut(access_token)).status).toBe(204);
    expect((await logOut(access_token)).status).toBe(204);
    expect((await logOut(undefined, { refresh_token })).status).toBe(204);
  });

  test('with an access token that has expired', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    gatehouse.passSeconds(301);
    expect(await meStatus(access_token)).toBe(401);
    expect((await logOut(access_token)).status).toBe(204);
    expect(await refreshStatus(refresh_token)).toBe(401);
    gatehouse.passSeconds(-301);
  });

  test('with the refresh token in the body, of an older generation too', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    await refreshStatus(refresh_token);
    expect((await logOut(undefined, { refresh_token })).status).toBe(204);
    expect(await meStatus(access_token)).toBe(401);
  });

  test('with the refresh token beside credentials of another kind', async () => {
    const { refresh_token, access_token } = await gatehouse.signUpAndLogIn();
    const headers = { Authorization: 'Basic YTpi' };
    expect((await gatehouse.post('/auth/logout', { refresh_token }, { headers })).status).toBe(204);
    expect(await meStatus(access_token)).toBe(401);
  });

  test('with a JSON content type and an empty body, as many clients send it', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const headers = { 'Content-Type': 'application/json' };
    expect((await gatehouse.request('POST', '/auth/logout', { token, headers })).status).toBe(204);
  });

  // Proves CS JSON Web Token: sessions are revoked, not spellings of tokens
  test('30 at once', async () => {
    const { access_token } = await gatehouse.signUpAndLogIn();
    const answers = await Promise.all(Array.from({ length: 30 }, () => logOut(access_token)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    const sid = JSON.parse(Buffer.from(access_token.split('.')[1] as string, 'base64url').toString()).sid;
    expect(await gatehouse.sql('SELECT * FROM revocations WHERE value = ?', [sid])).toHaveLength(1);
  });
});

describe('401 for anything else', () => {
  // Proves RFC 9110 §15.5.2: every 401 carries a Bearer challenge
  test('nothing', async () => {
    const { status, headers } = await logOut();
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="gatehouse"');
  });

  test('a forged access token', async () => {
    const { access_token } = await gatehouse.signUpAndLogIn();
    expect((await logOut(`${access_token.slice(0, -4)}AAAA`)).status).toBe(401);
    expect(await meStatus(access_token)).toBe(200);
  });

  test('a forged refresh token', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    expect((await logOut(undefined, { refresh_token: `${refresh_token.slice(0, -4)}AAAA` })).status).toBe(401);
    expect(await meStatus(access_token)).toBe(200);
  });

  test('a refresh token of another type is a 422', async () => {
    for (const refresh_token of [null, 1, {}]) expect((await logOut(undefined, { refresh_token })).status).toBe(422);
  });

  // Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
  test('a body with an unknown field is a 422', async () => {
    const { access_token } = await gatehouse.signUpAndLogIn();
    expect((await logOut(access_token, { everywhere: true })).status).toBe(422);
    expect(await meStatus(access_token)).toBe(200);
  });
});

describe('logout-all', () => {
  // Proves ASVS 7.5.2: a person sees their sessions and ends one or all of them
  test('ends every session of the user and nobody else’s', async () => {
    const account = await gatehouse.signUp();
    const mine = [await gatehouse.logIn(account), await gatehouse.logIn(account), await gatehouse.logIn(account)];
    const other = await gatehouse.signUpAndLogIn();
    const { status } = await gatehouse.post('/auth/logout-all', undefined, { token: mine[0]!.access_token });
    expect(status).toBe(204);
    for (const { access_token, refresh_token } of mine) {
      expect(await meStatus(access_token)).toBe(401);
      expect(await refreshStatus(refresh_token)).toBe(401);
    }
    expect(await meStatus(other.access_token)).toBe(200);
  });

  test('ends the caller’s own session although its idle time has passed by', async () => {
    const impatient = await gatehouse.another({ SESSION_IDLE_SECONDS: '30', ACCESS_TOKEN_TTL_SECONDS: '900' });
    const { access_token: token, expires_in } = await impatient.signUpAndLogIn();
    expect(expires_in).toBe(30); // no token outlives its session
    impatient.passSeconds(20);
    expect((await impatient.post('/auth/logout-all', undefined, { token })).status).toBe(204);
    expect((await impatient.get('/users/me', { token })).status).toBe(401);
    await impatient.stop();
  });

  test('takes no body: a field in one is refused', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    expect((await gatehouse.post('/auth/logout-all', { everyone: true }, { token })).status).toBe(422);
    expect(await meStatus(token)).toBe(200);
    expect((await gatehouse.post('/auth/logout-all', {}, { token })).status).toBe(204);
  });

  test('needs a token that is alive', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    await logOut(token);
    expect((await gatehouse.post('/auth/logout-all', undefined, { token })).status).toBe(401);
    expect((await gatehouse.post('/auth/logout-all')).status).toBe(401);
  });
});

describe('races', () => {
  // Proves ASVS 7.4.1: a logout that meets refreshes: whatever comes out of them is dead
  test('logout against refreshes of the same session: whatever comes out is dead', async () => {
    for (let round = 0; round < 5; round++) {
      const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
      const [refreshes] = await Promise.all([
        Promise.all(Array.from({ length: 5 }, () => gatehouse.post('/auth/refresh', { refresh_token }))),
        logOut(access_token),
      ]);
      for (const { status, body } of refreshes) {
        if (status !== 200) continue;
        expect(await meStatus(body.access_token)).toBe(401);
        expect(await refreshStatus(body.refresh_token)).toBe(401);
      }
    }
  });

  // Proves ours (Sessions): a revocation outlives every access token that it concerns
  test('a revocation lives as long as the last access token it concerns', async () => {
    const { access_token, refresh_token } = await gatehouse.signUpAndLogIn();
    gatehouse.passSeconds(100);
    const refreshed = (await gatehouse.post('/auth/refresh', { refresh_token })).body.access_token;
    await logOut(access_token);
    gatehouse.passSeconds(-100);
    const claims = JSON.parse(Buffer.from(refreshed.split('.')[1], 'base64url').toString());
    const rows = await gatehouse.dataSource.getRepository('Revocation').findBy({ value: claims.sid });
    expect(Math.floor((rows[0] as { expiresAt: Date }).expiresAt.getTime() / 1000)).toBe(claims.exp);
  });
});

// Proves ASVS 16.5.2, ASVS 16.5.3: a database out of reach means 503, never yes and never no
describe('when the revocation table cannot be asked', () => {
  test('the answer is 503, never yes and never no', async () => {
    const { access_token } = await gatehouse.signUpAndLogIn();
    const revocations = gatehouse.app.get(RevocationRepository);
    const findRevoked = revocations.findRevoked;
    revocations.findRevoked = () => Promise.reject(new Error('the database is gone'));
    try {
      const { status, body, headers } = await gatehouse.get('/users/me', { token: access_token });
      expect(status).toBe(503);
      expect(body.code).toBe('unavailable');
      expect(headers.get('retry-after')).toMatch(/^\d+$/);
    } finally {
      revocations.findRevoked = findRevoked;
    }
    expect(await meStatus(access_token)).toBe(200);
  });
});
