import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({ TRUST_PROXY: '1' });
});
afterAll(() => gatehouse.stop());

const from = (ip: string, agent: string) => ({ headers: { 'X-Forwarded-For': ip, 'User-Agent': agent } });
const subjects = async (email: string) => (await gatehouse.mails(email)).map(({ subject }) => subject);

// Proves ASVS 6.3.7: the owner is told of what looks like somebody else
test('a sign-in from another address or device is told, the first one and known ones are not', async () => {
  const account = await gatehouse.signUp();
  const home = from('203.0.113.7', 'Firefox on a laptop');
  await gatehouse.logIn(account, home);
  await gatehouse.logIn(account, home);
  expect(await subjects(account.email)).toEqual([]);
  await gatehouse.logIn(account, from('203.0.113.7', 'Safari on a phone'));
  await gatehouse.logIn(account, from('198.51.100.9', 'Firefox on a laptop'));
  await gatehouse.logIn(account, from('198.51.100.9', 'Firefox on a laptop'));
  const mails = await gatehouse.mails(account.email);
  expect(mails).toHaveLength(2);
  expect(mails[0]?.text).toContain('Safari on a phone');
  expect(mails[1]?.text).toContain('198.51.100.9');
  for (const { text } of mails) expect(text).toMatch(/if (this|it) was(n’t| not) you/i);
});

// Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
test('what a device calls itself is text and nothing else', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.logIn(account, from('203.0.113.7', 'first'));
  await gatehouse.logIn(account, from('203.0.113.8', '<a href="https://evil.example">x</a> https://evil.example'));
  const [mail] = await gatehouse.mails(account.email);
  expect(mail?.html).not.toContain('<a href="https://evil.example"');
  expect(mail?.to).toEqual([account.email]);
});

// Proves ASVS 6.3.7: the owner is told of what looks like somebody else
test('a refresh token that is used again after its time is told', async () => {
  const account = await gatehouse.signUp();
  const { refresh_token } = await gatehouse.logIn(account);
  await gatehouse.post('/auth/refresh', { refresh_token });
  gatehouse.passSeconds(11);
  expect((await gatehouse.post('/auth/refresh', { refresh_token })).status).toBe(401);
  gatehouse.passSeconds(-11);
  gatehouse.passSeconds(60);
  const told = await subjects(account.email);
  gatehouse.passSeconds(-60);
  expect(told).toHaveLength(1);
});
