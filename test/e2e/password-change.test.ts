import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const newPassword = () => newAccount().password;
const change = (token: string, current: string, next: string) =>
  gatehouse.put('/users/me/password', { current_password: current, new_password: next }, { token });

test('the new password holds, this session goes on, every other one ends, the person is told', async () => {
  const account = await gatehouse.signUp();
  const [mine, other] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
  const password = newPassword();
  expect((await change(mine.access_token, account.password, password)).status).toBe(204);
  expect((await gatehouse.get('/users/me', { token: mine.access_token })).status).toBe(200);
  expect((await gatehouse.post('/auth/refresh', { refresh_token: mine.refresh_token })).status).toBe(200);
  expect((await gatehouse.get('/users/me', { token: other.access_token })).status).toBe(401);
  expect((await gatehouse.post('/auth/refresh', { refresh_token: other.refresh_token })).status).toBe(401);
  expect((await gatehouse.post('/auth/login', { email: account.email, password: account.password })).status).toBe(401);
  await gatehouse.logIn({ ...account, password });
  await gatehouse.mail(account.email, /password was changed/i);
});

describe('the current password', () => {
  test('that is wrong is a 403 and changes nothing', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    const { status, body } = await change(token, 'not the right one', newPassword());
    expect(status).toBe(403);
    expect(body.code).toBe('wrong_password');
    await gatehouse.logIn(account);
  });

  test('counts like a failed login: after ten even the right one is refused, here and at the login', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    for (let i = 0; i < 10; i++) expect((await change(token, 'not the right one', newPassword())).status).toBe(403);
    expect((await change(token, account.password, newPassword())).body.code).toBe('wrong_password');
    expect((await gatehouse.post('/auth/login', { email: account.email, password: account.password })).status).toBe(
      401,
    );
    expect((await gatehouse.get('/users/me', { token })).status).toBe(200);
    await gatehouse.mail(account.email, /locked/i);
  });

  test('that is right wipes the count', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 9; i++) await change(token, 'not the right one', newPassword());
      expect((await change(token, account.password, 'short')).status).toBe(422);
    }
  });
});

test('the policy holds, and not one of the present and the four before it', async () => {
  const account = await gatehouse.signUp();
  const { access_token: token } = await gatehouse.logIn(account);
  const used = [account.password];
  const present = () => used.at(-1) as string;
  for (let i = 0; i < 4; i++) {
    const next = newPassword();
    expect((await change(token, present(), next)).status).toBe(204);
    used.push(next);
  }
  for (const password of used) {
    expect((await change(token, present(), password)).body.errors[0].code).toBe('password_reused');
  }
  expect((await change(token, present(), 'passwordpassword')).body.errors[0].code).toBe('password_common');
  const sixth = newPassword();
  expect((await change(token, present(), sixth)).status).toBe(204);
  expect((await change(token, sixth, used[0] as string)).status).toBe(204);
});

test('of ten changes at once one wins, and its password is the one that works', async () => {
  const account = await gatehouse.signUp();
  const { access_token: token } = await gatehouse.logIn(account);
  const passwords = Array.from({ length: 10 }, newPassword);
  const answers = await Promise.all(passwords.map((password) => change(token, account.password, password)));
  expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
  const winner = passwords[answers.findIndex(({ status }) => status === 204)] as string;
  await gatehouse.logIn({ ...account, password: winner });
});

test('needs a token, both fields and nothing else', async () => {
  expect((await gatehouse.put('/users/me/password', {})).status).toBe(401);
  const account = await gatehouse.signUp();
  const { access_token: token } = await gatehouse.logIn(account);
  const { body } = await gatehouse.put('/users/me/password', { new_password: 1, x: 1 }, { token });
  expect(body.errors.map(({ field, code }: { field: string; code: string }) => `${field}: ${code}`).sort()).toEqual([
    'body: unknown_field',
    'current_password: required',
    'new_password: wrong_type',
  ]);
});
