import { afterAll, beforeAll, expect, test } from 'vitest';
import { baseEnvironment, newAccount, startGatehouse, type Gatehouse, type Tokens } from '../support/gatehouse.js';
import { freePort, isDatabaseServer, startServer, temporaryDatabase } from '../support/server-process.js';

// Two connections to one SQLite file in one process wait for each other in vain, because the driver is synchronous. There
// the same holds for two clients of one instance.
const hasTwo = isDatabaseServer();

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

// Proves ASVS 7.4.1, ASVS 7.2.1: a logged-out session’s tokens are refused on the next request, by every instance
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

// Proves ASVS 7.4.1, ASVS 7.2.1: a logged-out session’s tokens are refused on the next request, by every instance
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

// Proves ASVS 10.4.5, RFC 9700 §4.14.2: 50 refreshes at once are one rotation, and nobody is logged out
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

test('refreshes that come late at one never take back what the other has rotated since', async () => {
  for (let round = 0; round < 3; round++) {
    const { access_token, refresh_token } = await one.signUpAndLogIn();
    const storm = Array.from({ length: 50 }, () => other.post<Tokens>('/auth/refresh', { refresh_token }));
    let newest = (await Promise.race(storm)).body.refresh_token;
    // The storm may have become a replay by now, which ends the session; what counts is that no step is undone.
    for (let step = 0; step < 3; step++) {
      const { status, body } = await one.post<Tokens>('/auth/refresh', { refresh_token: newest });
      if (status === 200) newest = body.refresh_token;
    }
    await Promise.all(storm);
    const [row] = await one.sql('SELECT generation FROM sessions WHERE id = ?', [sessionOf(access_token)]);
    expect(Number(row.generation)).toBe(Number(newest.split('.')[1]));
  }
});

// Proves ASVS 7.4.1: a logout that meets refreshes: whatever comes out of them is dead
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

// Proves ours (Issuing tokens): instances that start at once make one signing key
test('two first starts at once make one signing key and its successor, and each takes the tokens of the other', async () => {
  const env = baseEnvironment(await temporaryDatabase());
  const starts = await Promise.all([startServer(env), startServer(env)]);
  const tokens = await Promise.all(starts.map((server) => server.signUpAndLogIn()));

  const keySets = await Promise.all(starts.map((server) => server.get('/.well-known/jwks.json')));
  for (const { body } of keySets) {
    expect(body.keys).toHaveLength(2);
    expect(body.keys).toEqual(keySets[0]?.body.keys);
  }
  for (const { access_token: token } of tokens) {
    for (const server of starts) expect((await server.get('/users/me', { token })).status).toBe(200);
  }
  for (const server of starts) await server.stop();
});

// Proves ASVS 7.1.2: at most ten sessions: one more ends the oldest
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

// Proves ours (Database): sign-ups of one address at once make one account
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

if (hasTwo) {
  test('200 wrong guesses at one account at once, over two processes: ten looks at the password, then it is locked', async () => {
    const env = { ...baseEnvironment(await temporaryDatabase()), HASH_CONCURRENCY: '2' };
    const ports = [await freePort(), await freePort()];
    const [first, second] = [
      await startServer({ ...env, METRICS_PORT: String(ports[0]) }),
      await startServer({ ...env, METRICS_PORT: String(ports[1]) }),
    ];
    const { email, password } = await first.signUp();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        (index % 2 ? first : second).post('/auth/login', { email, password: `guess number ${index}` }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toEqual([]);
    // 503 where the queue of hashes was full: nothing was looked at then.
    expect(answers.every(({ status }) => status === 401 || status === 503)).toBe(true);
    const looks = await Promise.all(ports.map(storedPasswordChecks));
    expect(looks.reduce((sum, one) => sum + one)).toBe(10);
    for (const server of [first, second]) {
      expect((await server.post('/auth/login', { email, password })).status).toBe(401);
    }
    await Promise.all([first.stop(), second.stop()]);
  });
}

async function storedPasswordChecks(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^gatehouse_password_hashes_total\{purpose="check"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}
