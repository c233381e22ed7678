import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({ TRUST_PROXY: '127.0.0.1' });
});
afterAll(() => gatehouse.stop());

const sessionsOf = async (token: string) => (await gatehouse.get('/auth/sessions', { token })).body.sessions;
const end = async (id: string, token?: string) =>
  (await gatehouse.delete(`/auth/sessions/${id}`, token === undefined ? {} : { token })).status;

// Proves ASVS 7.2.4: each login opens a session of its own
// Proves ASVS 7.5.2: a person sees their sessions and ends one or all of them
// Proves ASVS 8.2.3, ASVS 14.2.6, ASVS 15.3.1: answers have the fields that are needed and no others
test('lists the live sessions, newest first, with where they come from and no token', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.logIn(account, { headers: { 'User-Agent': 'Old Browser/1.0', 'X-Forwarded-For': '203.0.113.7' } });
  const { access_token: token } = await gatehouse.logIn(account, { headers: { 'User-Agent': 'x'.repeat(2000) } });
  const sessions = await sessionsOf(token);
  expect(sessions).toHaveLength(2);
  for (const session of sessions) {
    const names = ['created_at', 'current', 'expires_at', 'id', 'ip', 'last_used_at', 'user_agent'];
    expect(Object.keys(session).sort()).toEqual(names);
    expect(Date.parse(session.expires_at) - Date.parse(session.last_used_at)).toBe(604_800_000);
  }
  expect(sessions.map(({ current }: { current: boolean }) => current)).toEqual([true, false]);
  expect(sessions[1]).toMatchObject({ ip: '203.0.113.7', user_agent: 'Old Browser/1.0' });
  expect(sessions[0].user_agent).toBe('x'.repeat(512));
  expect(sessions[0].ip).toBe('127.0.0.1');
});

// Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
test('what a proxy forwards is an address, or is not believed', async () => {
  const account = await gatehouse.signUp();
  for (const forwarded of [
    '<script>',
    'unknown',
    `fe80::1%${'a'.repeat(300)}`,
    '::ffff:203.0.113.9',
    '2001:db8::7, 127.0.0.1',
  ]) {
    await gatehouse.logIn(account, { headers: { 'X-Forwarded-For': forwarded } });
  }
  const { access_token } = await gatehouse.logIn(account);
  const addresses = (await sessionsOf(access_token)).map(({ ip }: { ip: string }) => ip);
  expect(addresses.reverse().slice(0, 5)).toEqual([
    '127.0.0.1',
    '127.0.0.1',
    '127.0.0.1',
    '203.0.113.9',
    '2001:db8::7',
  ]);
});

// Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
test.each([
  ['1', '198.51.100.1, 203.0.113.7', '203.0.113.7'],
  ['2', '198.51.100.1, 203.0.113.7', '198.51.100.1'],
  ['127.0.0.0/8', '198.51.100.1, 203.0.113.7', '203.0.113.7'],
  ['127.0.0.0/8,203.0.113.0/24', '198.51.100.1, 203.0.113.7', '198.51.100.1'],
])('TRUST_PROXY=%s: of %j the client is %s', async (trusted, forwarded, client) => {
  const proxied = await gatehouse.another({ TRUST_PROXY: trusted });
  const account = await proxied.signUp();
  const { access_token: token } = await proxied.logIn(account, { headers: { 'X-Forwarded-For': forwarded } });
  expect((await proxied.get('/auth/sessions', { token })).body.sessions[0].ip).toBe(client);
  await proxied.stop();
});

// Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
test('without a trusted proxy a forwarded address is not believed', async () => {
  const direct = await gatehouse.another({ TRUST_PROXY: '' });
  const account = await direct.signUp();
  const { access_token: token } = await direct.logIn(account, { headers: { 'X-Forwarded-For': '203.0.113.7' } });
  const { body } = await direct.get('/auth/sessions', { token });
  expect(body.sessions[0].ip).toBe('127.0.0.1');
  await direct.stop();
});

test('a refresh shows as last use and pushes the end', async () => {
  const { refresh_token } = await gatehouse.signUpAndLogIn();
  gatehouse.passSeconds(3600);
  const { access_token } = (await gatehouse.post('/auth/refresh', { refresh_token })).body;
  const [session] = await sessionsOf(access_token);
  gatehouse.passSeconds(-3600);
  expect(Date.parse(session.last_used_at) - Date.parse(session.created_at)).toBeGreaterThanOrEqual(3_600_000);
});

test('an expired session is not listed', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.logIn(account);
  gatehouse.passSeconds(604_800);
  const { access_token } = await gatehouse.logIn(account);
  expect(await sessionsOf(access_token)).toHaveLength(1);
  gatehouse.passSeconds(-604_800);
});

// Proves ASVS 7.5.2: a person sees their sessions and ends one or all of them
describe('ending one', () => {
  test('kills its tokens and leaves the others', async () => {
    const account = await gatehouse.signUp();
    const [there, here] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
    const other = (await sessionsOf(here.access_token)).find(({ current }: { current: boolean }) => !current);
    expect(await end(other.id, here.access_token)).toBe(204);
    expect((await gatehouse.get('/users/me', { token: there.access_token })).status).toBe(401);
    expect((await gatehouse.post('/auth/refresh', { refresh_token: there.refresh_token })).status).toBe(401);
    expect((await gatehouse.get('/users/me', { token: here.access_token })).status).toBe(200);
    expect(await end(other.id, here.access_token)).toBe(204);
  });

  test('the current one too', async () => {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    const [{ id }] = await sessionsOf(token);
    expect(await end(id, token)).toBe(204);
    expect((await gatehouse.get('/users/me', { token })).status).toBe(401);
  });

  // Proves ASVS 8.2.2: what is somebody else’s is not there: the same 404 as for what is nowhere
  test('somebody else’s is a 404 and goes on, byte for byte like an unknown one', async () => {
    const [mine, theirs] = [await gatehouse.signUpAndLogIn(), await gatehouse.signUpAndLogIn()];
    const [{ id }] = await sessionsOf(theirs.access_token);
    const answers = await Promise.all(
      [id, randomUUID(), 'x', '%00', "'--", 'x'.repeat(300)].map((one) =>
        gatehouse.delete(`/auth/sessions/${one}`, { token: mine.access_token }),
      ),
    );
    const bodies = answers.map(({ text }) => text.replace(/"request_id":"[^"]+"/, ''));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    expect(new Set(bodies).size).toBe(1);
    expect((await gatehouse.get('/users/me', { token: theirs.access_token })).status).toBe(200);
  });

  test('needs a token', async () => {
    expect(await end(randomUUID())).toBe(401);
    expect((await gatehouse.get('/auth/sessions')).status).toBe(401);
  });
});
