import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import {
  baseEnvironment,
  createDatabase,
  newAccount,
  startGatehouse,
  type Gatehouse,
  type Tokens,
} from '../support/gatehouse.js';

// SQLite belongs to one process; there the same holds for two clients of one instance.
const hasTwo = inject('databaseServer') !== '';

let one: Gatehouse;
let other: Gatehouse;
beforeAll(async () => {
  one = await startGatehouse();
  other = hasTwo ? await one.another() : one;
});
afterAll(async () => {
  if (hasTwo) await other.stop();
  await one.stop();
});

/** `count` calls at once, every second one at the other instance. */
function spread<T>(count: number, call: (instance: Gatehouse, index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index % 2 === 0 ? one : other, index)));
}

test('a logout through one instance is in force at the other with the very next request', async () => {
  const account = await one.signUp();
  for (let round = 0; round < 10; round++) {
    const [here, there] = round % 2 === 0 ? [one, other] : [other, one];
    const { access_token: token, refresh_token } = await here.logIn(account);
    expect((await there.get('/users/me', { token })).status).toBe(200);
    expect((await here.post('/auth/logout', undefined, { token })).status).toBe(204);
    expect((await there.get('/users/me', { token })).status).toBe(401);
    expect((await there.post('/auth/refresh', { refresh_token })).status).toBe(401);
  }
});

test('a logout during a storm of requests at the other: whatever is asked after the answer is refused', async () => {
  const { access_token: token } = await one.signUpAndLogIn();
  let isLoggedOut = false;
  const storm = Array.from({ length: 10 }, async () => {
    for (;;) {
      const askedAfter = isLoggedOut;
      const { status } = await other.get('/users/me', { token });
      if (askedAfter) return status;
      expect([200, 401]).toContain(status);
    }
  });
  expect((await one.post('/auth/logout', undefined, { token })).status).toBe(204);
  isLoggedOut = true;
  expect(new Set(await Promise.all(storm))).toEqual(new Set([401]));
});

test('fifty refreshes of one token, over both: one rotation, one successor, a session that lives', async () => {
  const { access_token, refresh_token } = await one.signUpAndLogIn();
  const id = sessionOf(access_token);
  const answers = await spread(50, (instance) => instance.post<Tokens>('/auth/refresh', { refresh_token }));

  const granted = answers.filter(({ status }) => status === 200);
  const successors = new Set(granted.map(({ body }) => body.refresh_token));
  expect(successors.size).toBe(1);
  expect(answers.filter(({ status }) => status !== 200).map(({ text }) => text)).toEqual([]);
  const [row] = await one.sql('SELECT generation, ended_at FROM sessions WHERE id = ?', [id]);
  expect({ ...row, generation: Number(row.generation) }).toEqual({ generation: 1, ended_at: null });

  for (const { body } of granted) {
    expect((await other.get('/users/me', { token: body.access_token })).status).toBe(200);
  }
  expect((await other.post('/auth/refresh', { refresh_token: [...successors][0] })).status).toBe(200);
});

test('refreshes at one while the other logs out: the session is dead, and so is every token of it', async () => {
  for (let round = 0; round < 5; round++) {
    const { access_token, refresh_token } = await one.signUpAndLogIn();
    const refreshes = spread(10, (instance) => instance.post<Tokens>('/auth/refresh', { refresh_token }));
    expect((await other.post('/auth/logout', undefined, { token: access_token })).status).toBe(204);
    const granted = (await refreshes).filter(({ status }) => status === 200);
    for (const { body } of granted) {
      expect((await one.get('/users/me', { token: body.access_token })).status).toBe(401);
      expect((await one.post('/auth/refresh', { refresh_token: body.refresh_token })).status).toBe(401);
    }
    const [row] = await one.sql(
      `SELECT s.end_reason, r.expires_at >= s.access_expires_at AS outlasts FROM sessions s
       JOIN revocations r ON r.kind = 'sid' AND r.value = s.id WHERE s.id = ?`,
      [sessionOf(access_token)],
    );
    expect({ ...row, outlasts: Number(row.outlasts) }).toEqual({ end_reason: 'logout', outlasts: 1 });
  }
});

test('two first starts at once make one signing key, and each takes the tokens of the other', async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const env = baseEnvironment(database.url);
  const starts = await Promise.all([startGatehouse(env), ...(hasTwo ? [startGatehouse(env)] : [])]);
  const [first, second = first] = starts as [Gatehouse, Gatehouse?];

  const tokens = await Promise.all([first, second].map((instance) => instance.signUpAndLogIn()));
  expect(await first.sql('SELECT number FROM signing_keys')).toHaveLength(1);
  for (const { access_token: token } of tokens) {
    for (const instance of starts) expect((await instance.get('/users/me', { token })).status).toBe(200);
  }
  for (const instance of starts.reverse()) await instance.stop();
});

test('logins of one account at once, over both: ten sessions live, and the others are revoked', async () => {
  const account = await one.signUp();
  const logins = await spread(24, (instance) => instance.logIn(account));

  const rows = await one.sql(
    `SELECT s.id, s.ended_at, s.end_reason, r.seq FROM sessions s
     LEFT JOIN revocations r ON r.kind = 'sid' AND r.value = s.id WHERE s.user_id = ?`,
    [account.id],
  );
  expect(rows).toHaveLength(24);
  const live = rows.filter(({ ended_at }) => ended_at === null);
  expect(live).toHaveLength(10);
  expect(live.every(({ seq }) => seq === null)).toBe(true);
  const surplus = rows.filter(({ ended_at }) => ended_at !== null);
  expect(surplus.every(({ end_reason, seq }) => end_reason === 'too_many_sessions' && seq !== null)).toBe(true);

  const liveIds = new Set(live.map(({ id }) => id));
  for (const { access_token: token } of logins) {
    const { status } = await other.get('/users/me', { token });
    expect(status).toBe(liveIds.has(sessionOf(token)) ? 200 : 401);
  }
});

test('sign-ups of one address at once, over both: one account, and everybody else is told', async () => {
  const account = newAccount();
  const answers = await spread(20, (instance, index) =>
    instance.post('/auth/signup', { ...account, email: index % 3 === 0 ? account.email.toUpperCase() : account.email }),
  );
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
  expect(await one.sql('SELECT id FROM users WHERE email_canonical = ?', [account.email])).toHaveLength(1);
  await other.logIn(account);
});

function sessionOf(accessToken: string): string {
  const claims = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString();
  return (JSON.parse(claims) as { sid: string }).sid;
}
