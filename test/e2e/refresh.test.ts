import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SessionRepository } from '../../src/auth/session.repository.js';
import { Clock } from '../../src/common/clock.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
let passed = 0;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());
afterEach(() => pass(-passed));

/** Lets time pass for the rest of the test. */
function pass(seconds: number): void {
  gatehouse.passSeconds(seconds);
  passed += seconds;
}

/** As `stopClock` of the instance. @returns what lets milliseconds pass since then. */
function stopClock(): (ms: number) => void {
  const set = gatehouse.stopClock();
  const stoppedAt = gatehouse.app.get(Clock).now().getTime();
  return (ms) => set(stoppedAt + ms);
}

const refresh = (refresh_token: unknown) => gatehouse.post('/auth/refresh', { refresh_token });
const meStatus = async (token: string) => (await gatehouse.get('/users/me', { token })).status;
const isRefused = async (token: string) => {
  const { status, body, headers } = await refresh(token);
  expect(status).toBe(401);
  expect(body.code).toBe('invalid_refresh_token');
  expect(headers.get('www-authenticate')).toMatch(/^Bearer /);
};

// Proves ASVS 7.2.2, ASVS 7.2.3, ASVS 11.5.1: refresh tokens: 256 bits, for one session and one generation, new at every use
// Proves RFC 6749 §5.1, ASVS 14.3.2, ASVS 14.2.2: nothing but the key set may be stored by a cache
test('gives a successor and a new access token of the same session', async () => {
  const first = await gatehouse.signUpAndLogIn();
  const { status, body, headers } = await refresh(first.refresh_token);
  expect(status).toBe(200);
  expect(headers.get('cache-control')).toBe('no-store');
  const pair = Object.keys(first).filter((name) => name !== 'device_token');
  expect(Object.keys(body).sort()).toEqual(pair.sort());
  expect(body.refresh_token).not.toBe(first.refresh_token);
  expect(body.refresh_token.split('.')[0]).toBe(first.refresh_token.split('.')[0]);
  expect(await meStatus(body.access_token)).toBe(200);
  expect(await meStatus(first.access_token)).toBe(200);
});

describe('a retry', () => {
  // Proves ASVS 10.4.5, RFC 9700 §4.14.2: 50 refreshes at once are one rotation, and nobody is logged out
  test('within the leeway gets the same successor, at the last millisecond too', async () => {
    const { refresh_token } = await gatehouse.signUpAndLogIn();
    const wait = stopClock();
    const successor = (await refresh(refresh_token)).body.refresh_token;
    wait(9_999);
    const retried = await refresh(refresh_token);
    expect(retried.status).toBe(200);
    expect(retried.body.refresh_token).toBe(successor);
    expect((await refresh(successor)).status).toBe(200);
  });

  // Proves ASVS 10.4.5, RFC 9700 §2.2.2, RFC 9700 §4.14.2: a refresh token that is used again after its time ends the session, and with it every token
  // Proves RFC 9110 §15.5.2: every 401 carries a Bearer challenge
  test('after the leeway ends the session: somebody has a copy', async () => {
    const { refresh_token, access_token } = await gatehouse.signUpAndLogIn();
    const wait = stopClock();
    const successor = (await refresh(refresh_token)).body;
    wait(10_000);
    await isRefused(refresh_token);
    await isRefused(successor.refresh_token);
    expect(await meStatus(access_token)).toBe(401);
    expect(await meStatus(successor.access_token)).toBe(401);
  });

  // Proves ASVS 10.4.5, RFC 9700 §2.2.2, RFC 9700 §4.14.2: a refresh token that is used again after its time ends the session, and with it every token
  test('with a token two generations old ends it, within the leeway too', async () => {
    const { refresh_token } = await gatehouse.signUpAndLogIn();
    const second = (await refresh(refresh_token)).body.refresh_token;
    const third = (await refresh(second)).body;
    await isRefused(refresh_token);
    await isRefused(third.refresh_token);
    expect(await meStatus(third.access_token)).toBe(401);
  });

  // Proves ours (Sessions): a revocation outlives every access token that it concerns
  test('gets no access token that outlives what a revocation would cover', async () => {
    const { refresh_token } = await gatehouse.signUpAndLogIn();
    const expOf = ({ access_token }: { access_token: string }) =>
      JSON.parse(Buffer.from(access_token.split('.')[1] as string, 'base64url').toString()).exp;
    const successor = (await refresh(refresh_token)).body;
    pass(5);
    const retried = (await refresh(refresh_token)).body;
    expect(expOf(retried)).toBe(expOf(successor));
    expect(retried.expires_in).toBeLessThanOrEqual(295);
  });
});

// Proves ASVS 10.4.5, RFC 9700 §4.14.2: 50 refreshes at once are one rotation, and nobody is logged out
test('50 at once: one rotation, one successor, nobody logged out', async () => {
  const { refresh_token } = await gatehouse.signUpAndLogIn();
  const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(refresh_token)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  const successors = new Set(answers.map(({ body }) => body.refresh_token));
  expect(successors.size).toBe(1);
  const [row] = await gatehouse.sql('SELECT generation, ended_at FROM sessions WHERE id = ?', [
    refresh_token.split('.')[0],
  ]);
  expect(Number(row.generation)).toBe(1);
  expect(row.ended_at).toBeNull();
  expect((await refresh([...successors][0])).status).toBe(200);
});

test('one that waited for the winner longer than the leeway is no replay', async () => {
  const { refresh_token } = await gatehouse.signUpAndLogIn();
  const rows = gatehouse.app.get(SessionRepository);
  const rotate = rows.rotate.bind(rows);
  let first = true;
  rows.rotate = async (...args) => {
    if (first) {
      first = false;
      return rotate(...args);
    }
    pass(60); // as if the row had been locked for a minute
    return rotate(...args);
  };
  const answers = await Promise.all([refresh(refresh_token), refresh(refresh_token)]);
  rows.rotate = rotate;
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  expect(answers[0].body.refresh_token).toBe(answers[1].body.refresh_token);
});

describe('a token that is not ours', () => {
  test('does nothing to the session it names', async () => {
    const { refresh_token, access_token } = await gatehouse.signUpAndLogIn();
    const [id, generation, mac] = refresh_token.split('.') as [string, string, string];
    const flipped = (mac[0] === 'A' ? 'B' : 'A') + mac.slice(1);
    const forged = [
      `${id}.${generation}.${flipped}`,
      `${id}.1.${mac}`,
      `${id}.00.${mac}`,
      `${id}.0.${mac}=`,
      `${id.toUpperCase()}.0.${mac}`,
      `${id}.0`,
      `01a203e0-390a-7649-97dc-7d3f8c9bf560.0.${mac}`,
      access_token,
      'x',
      '',
      ' ',
      "' OR 1=1 --",
    ];
    for (const token of forged) await isRefused(token);
    expect((await refresh(refresh_token)).status).toBe(200);
  });

  test.each([[undefined], [null], [1], [{}], [['x']]])('of another type is a 422: %j', async (token) => {
    expect((await refresh(token)).status).toBe(422);
  });

  // Proves RFC 8725 §3.11, RFC 8725 §3.12, ASVS 9.2.2: no kind of token passes for another; those that are no access tokens are opaque
  test('an access token does not refresh, a refresh token is no bearer', async () => {
    const { refresh_token } = await gatehouse.signUpAndLogIn();
    expect(await meStatus(refresh_token)).toBe(401);
  });
});

describe('a session ends', () => {
  // Proves ASVS 7.3.1, 63B-4 §5.2: a session ends after 7 days without a refresh, to the second
  test('after 7 days without a refresh: the last second works, the next does not', async () => {
    const { refresh_token } = await gatehouse.signUpAndLogIn();
    pass(604_800 - 30);
    const successor = await refresh(refresh_token);
    expect(successor.status).toBe(200);
    pass(604_800);
    await isRefused(successor.body.refresh_token);
  });

  // Proves ASVS 7.3.2, ASVS 10.4.8, 63B-4 §2.1.3, 63B-4 §5.2: a session ends 30 days after the login, however often it is refreshed
  test('30 days after the login, however often it is refreshed', async () => {
    let { refresh_token } = await gatehouse.signUpAndLogIn();
    for (let day = 0; day < 25; day += 5) {
      pass(5 * 86_400);
      refresh_token = (await refresh(refresh_token)).body.refresh_token;
    }
    pass(5 * 86_400 - 30);
    const last = await refresh(refresh_token);
    expect(last.status).toBe(200);
    expect(last.body.expires_in).toBeLessThanOrEqual(30);
    expect(last.body.refresh_expires_in).toBeLessThanOrEqual(30);
    pass(30);
    await isRefused(last.body.refresh_token);
    expect(await meStatus(last.body.access_token)).toBe(401);
  });
});

// Proves PCI 8.3.2, 63B-4 §3.1.1.2(storage): a stolen database has no hash to guess against, no token and no key
test('what is stored makes no token', async () => {
  const { refresh_token } = await gatehouse.signUpAndLogIn();
  const [id, , mac] = refresh_token.split('.') as [string, string, string];
  const [row] = await gatehouse.sql('SELECT * FROM sessions WHERE id = ?', [id]);
  expect(JSON.stringify(row)).not.toContain(mac);
});

// Proves ASVS 10.4.5, RFC 9700 §2.2.2, RFC 9700 §4.14.2: a refresh token that is used again after its time ends the session, and with it every token
test('with a leeway of 0 a second use ends the session', async () => {
  const strict = await gatehouse.another({ REFRESH_LEEWAY_SECONDS: '0' });
  const { refresh_token } = await strict.signUpAndLogIn();
  const successor = (await strict.post('/auth/refresh', { refresh_token })).body.refresh_token;
  expect((await strict.post('/auth/refresh', { refresh_token })).status).toBe(401);
  expect((await strict.post('/auth/refresh', { refresh_token: successor })).status).toBe(401);
  await strict.stop();
});

// Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
test('a new master key in front: tokens of before still work, the successor is under the new key', async () => {
  const { refresh_token } = await gatehouse.signUpAndLogIn();
  const newKey = Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 37 + 11) % 256)).toString('base64');
  const rotated = await gatehouse.another({ MASTER_KEY: `${newKey},${gatehouse.env['MASTER_KEY']}` });
  const { status, body } = await rotated.post('/auth/refresh', { refresh_token });
  expect(status).toBe(200);
  expect((await rotated.get('/users/me', { token: body.access_token })).status).toBe(200);
  expect((await rotated.post('/auth/refresh', { refresh_token: body.refresh_token })).status).toBe(200);
  await rotated.stop();
});
