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

// Proves ASVS 7.4.3: a new password ends the other sessions, a reset every one
// Proves ASVS 6.3.7, 63B-4 §4.2.3, 63B-4 §4.6: the owner is told of every change, at both addresses when it is the address
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

// Proves ASVS 6.2.2, ASVS 6.2.3, ASVS 7.5.1: the present password before a change of password, address or life
describe('the current password', () => {
  test('that is wrong is a 403 and changes nothing', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    const { status, body } = await change(token, 'not the right one', newPassword());
    expect(status).toBe(403);
    expect(body.code).toBe('wrong_password');
    await gatehouse.logIn(account);
  });

  // Proves PCI 8.3.4: a wrong present password counts like a failed login: a stolen session guesses no better than a stranger
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

// Proves ASVS 6.2.4: common passwords are refused: at least 3000 that would be long enough
// Proves PCI 8.3.7: not one of the present password and the four before it
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

// Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
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
