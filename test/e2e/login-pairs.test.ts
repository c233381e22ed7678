import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { RateLimit } from '../../src/limits/rate-limit.entity.js';
import { newAccount, startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse({
    RATE_LIMITS: 'on',
    TRUST_PROXY: '1',
    RATE_LIMIT_LOGIN: '1000/60',
    RATE_LIMIT_LOGIN_PAIR: '6/86400',
    RATE_LIMIT_SIGNUP: '1000/60',
  });
});
afterAll(() => gatehouse.stop());

const from = (ip: string) => ({ headers: { 'X-Forwarded-For': ip } });

// Proves ASVS 6.1.1: a client address that has failed too often at an account is not looked at there, and locks nobody else out
test('an address that has failed too often at an account is not looked at there any more, and locks nobody out', async () => {
  const account = await gatehouse.signUp();
  const { email, password } = account;
  const guess = (ip: string) => gatehouse.post('/auth/login', { email, password: 'not the right one' }, from(ip));
  const first = await guess('203.0.113.1');
  // The owner logs in now and then, which wipes the account's own count.
  for (let i = 0; i < 5; i++) {
    await guess('203.0.113.1');
    await gatehouse.logIn(account, from('203.0.113.2'));
  }
  const refused = await gatehouse.post('/auth/login', { email, password }, from('203.0.113.1'));
  expect(refused.status).toBe(401);
  expect({ ...refused.body, request_id: '' }).toEqual({ ...first.body, request_id: '' });
  for (let i = 0; i < 12; i++) expect((await guess('203.0.113.1')).status).toBe(401);
  await gatehouse.logIn(account, from('203.0.113.2'));
  expect((await gatehouse.post('/auth/login', { email, password }, from('203.0.113.1'))).status).toBe(401);
});

// Proves PCI 8.3.4, CS Authentication: an address without an account is counted, locked and answered like one that has one
test('a reset link helps there too', async () => {
  const account = await gatehouse.signUp();
  const { email } = account;
  const here = from('203.0.113.9');
  // From twice the budget on too: nothing about it is answered from memory.
  for (let i = 0; i < 14; i++) await gatehouse.post('/auth/login', { email, password: 'not the right one' }, here);
  expect((await gatehouse.post('/auth/login', { email, password: account.password }, here)).status).toBe(401);
  await gatehouse.post('/auth/password/forgot', { email });
  const token = await gatehouse.mailedToken(email, /^Reset/);
  const { password } = newAccount();
  expect((await gatehouse.post('/auth/password/reset', { token, new_password: password })).status).toBe(204);
  await gatehouse.logIn({ email, password }, here);
});

// Proves ours (Recovery and mail): no password chosen by somebody else opens an account
test('and so does the link of a sign-up with a new password, whoever has failed there before', async () => {
  const { email } = await gatehouse.signUp();
  const here = from('203.0.113.11');
  for (let i = 0; i < 14; i++) await gatehouse.post('/auth/login', { email, password: 'not the right one' }, here);
  await gatehouse.post('/auth/email/resend', { email });
  const token = await gatehouse.mailedToken(email, /^Confirm/);
  const { password } = newAccount();
  expect((await gatehouse.post('/auth/email/verify', { token, new_password: password })).status).toBe(204);
  await gatehouse.logIn({ email, password }, here);
});

test('a reset that is done is answered as done, also where the budget cannot be cleared', async () => {
  const { email } = await gatehouse.signUp();
  await gatehouse.post('/auth/password/forgot', { email });
  const token = await gatehouse.mailedToken(email, /^Reset/);
  const rows = gatehouse.dataSource.getRepository(RateLimit);
  const remove = vi.spyOn(rows, 'delete').mockRejectedValue(new Error('the database is gone'));
  const { password } = newAccount();
  expect((await gatehouse.post('/auth/password/reset', { token, new_password: password })).status).toBe(204);
  expect(remove).toHaveBeenCalledOnce();
  remove.mockRestore();
  expect(gatehouse.logLines.some((line) => line.includes('budget_not_cleared'))).toBe(true);
  await gatehouse.logIn({ email, password });
});

test('an address without an account is counted alike', async () => {
  const email = 'nobody@example.com';
  const answers = [];
  for (let i = 0; i < 9; i++) {
    answers.push(await gatehouse.post('/auth/login', { email, password: 'x' }, from('203.0.113.3')));
  }
  expect(new Set(answers.map(({ status, body }) => JSON.stringify([status, { ...body, request_id: '' }]))).size).toBe(
    1,
  );
});
