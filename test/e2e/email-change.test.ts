import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

const confirm = (token: string) => gatehouse.post('/auth/email/confirm-change', { token });
const linkOf = (email: string) => gatehouse.mailedToken(email, /^Confirm/);

async function person(): Promise<Account & { id: string; token: string }> {
  const account = await gatehouse.signUp();
  return { ...account, token: (await gatehouse.logIn(account)).access_token };
}

const request = ({ token, password }: { token: string; password: string }, newEmail: string) =>
  gatehouse.post('/users/me/email', { current_password: password, new_email: newEmail }, { token });

// Proves ASVS 6.3.7, 63B-4 §4.2.3, 63B-4 §4.6: the owner is told of every change, at both addresses when it is the address
test('nothing changes before the link is used; then the new address logs in, and both are told', async () => {
  const ada = await person();
  const { email } = newAccount();
  const answer = await request(ada, email);
  expect([answer.status, answer.text]).toEqual([202, '{}']);
  const token = await linkOf(email);
  const note = await gatehouse.mail(ada.email, /./);
  expect(note.text).not.toContain('#token=');
  expect((await gatehouse.get('/users/me', { token: ada.token })).body.email).toBe(ada.email);

  expect((await confirm(token)).status).toBe(204);
  const me = (await gatehouse.get('/users/me', { token: ada.token })).body;
  expect(me).toMatchObject({ email, email_verified: true });
  await gatehouse.logIn({ email, password: ada.password });
  expect((await gatehouse.post('/auth/login', { email: ada.email, password: ada.password })).status).toBe(401);
  for (const address of [ada.email, email]) await gatehouse.mail(address, /address was changed/i);
  await gatehouse.signUp({ email: ada.email });
});

// Proves ASVS 6.2.2, ASVS 6.2.3, ASVS 7.5.1: the present password before a change of password, address or life
test('a wrong password is a 403, and an address that is none a 422', async () => {
  const ada = await person();
  expect((await request({ ...ada, password: 'not the right one' }, newAccount().email)).body.code).toBe(
    'wrong_password',
  );
  expect((await request(ada, 'no address')).body.errors).toMatchObject([{ field: 'new_email', code: 'email_invalid' }]);
});

describe('an address that somebody has', () => {
  // Proves ASVS 6.3.8: a change of address tells nobody who has an account
  // Proves ASVS 6.3.7: the owner is told of what looks like somebody else
  test('is not revealed: the same answer, a note to its owner, and no link', async () => {
    const [ada, eve] = [await person(), await person()];
    const answer = await request(eve, ada.email);
    expect([answer.status, answer.text]).toEqual([202, '{}']);
    const mail = await gatehouse.mail(ada.email, /./);
    expect(mail.text).not.toContain('#token=');
    await gatehouse.logIn(ada);
  });

  test('when it was taken after the link was sent, the link is like any dead one', async () => {
    const eve = await person();
    const { email } = newAccount();
    await request(eve, email);
    const token = await linkOf(email);
    await gatehouse.signUp({ email });
    const { status, body } = await confirm(token);
    expect([status, body.code]).toEqual([422, 'invalid_or_expired_token']);
    await gatehouse.logIn(eve);
  });

  test('of two who confirm the same address at once one gets it', async () => {
    const { email } = newAccount();
    const tokens = [];
    for (let i = 0; i < 2; i++) {
      await request(await person(), email);
      tokens.push(await linkOf(email));
    }
    const answers = await Promise.all(tokens.map(confirm));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 422]);
  });
});

describe('the link', () => {
  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('works once: of 20 uses at once one succeeds', async () => {
    const ada = await person();
    const { email } = newAccount();
    await request(ada, email);
    const token = await linkOf(email);
    const answers = await Promise.all(Array.from({ length: 20 }, () => confirm(token)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
  });

  // Proves 63B-4 §4.2.1.2, ASVS 6.4.1, ASVS 11.5.1: links: 256 bits, once, 30 minutes or 24 hours, dead when a newer one is asked for
  test('is dead once another address was asked for, and when the password has changed', async () => {
    const ada = await person();
    const [first, second] = [newAccount().email, newAccount().email];
    await request(ada, first);
    const older = await linkOf(first);
    await request(ada, second);
    const newer = await linkOf(second);
    expect((await confirm(older)).status).toBe(422);
    const body = { current_password: ada.password, new_password: newAccount().password };
    await gatehouse.put('/users/me/password', body, { token: ada.token });
    expect((await confirm(newer)).status).toBe(422);
  });

  test('kills the links that went to the old address', async () => {
    const ada = await person();
    const { email } = newAccount();
    await gatehouse.post('/auth/password/forgot', { email: ada.email });
    const reset = await gatehouse.mailedToken(ada.email, /^Reset/);
    await request(ada, email);
    expect((await confirm(await linkOf(email))).status).toBe(204);
    const body = { token: reset, new_password: newAccount().password };
    expect((await gatehouse.post('/auth/password/reset', body)).body.code).toBe('invalid_or_expired_token');
  });
});

test('the own address in another spelling is a change like any other', async () => {
  const ada = await person();
  const email = ada.email.replace('ada', 'Ada');
  expect((await request(ada, email)).status).toBe(202);
  expect((await confirm(await linkOf(email))).status).toBe(204);
  expect((await gatehouse.get('/users/me', { token: ada.token })).body.email).toBe(email);
});
