import type { Counter } from 'prom-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi, type MockInstance } from 'vitest';
import { BreachNoticeService } from '../../src/auth/breach-notice.service.js';
import { PasswordHasher } from '../../src/auth/password-hasher.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';
import { RangeService, splitDigest, type RangeBehaviour } from '../support/range-service.js';

const SUBJECT = /^Your password is known/;
const BUILTIN = 'passwordpassword';

let range: RangeService;
let gatehouse: Gatehouse;
beforeAll(async () => {
  range = await new RangeService().start();
  gatehouse = await startGatehouse({ HIBP_URL: range.url });
});
beforeEach(liftLimit);
afterEach(() => {
  limit.mockRestore();
  range.release();
});
afterAll(async () => {
  await gatehouse.stop();
  await range.stop();
});

/** The second after which the check gives up, and passes every password. Here it takes as long as it takes. */
let limit: MockInstance<typeof AbortSignal.timeout>;
function liftLimit(): void {
  limit = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => new AbortController().signal);
}

const fresh = () => newAccount().password;
const settled = (at = gatehouse) => at.app.get(BreachNoticeService).settled();
const refusalsOf = (body: { code: string; errors: { field: string; code: string }[] }) => [
  body.code,
  ...body.errors.map(({ field, code }) => `${field}: ${code}`),
];

function breachedPassword(): string {
  const password = fresh();
  range.breach(password);
  return password;
}

async function counted(name: 'breachedPasswords' | 'breachCheckFailures', labels = {}): Promise<number> {
  const metric: Counter<string> = gatehouse.app.get(Metrics)[name];
  const { values } = await metric.get();
  return values.find((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value))?.value ?? 0;
}

async function told(email: string): Promise<number> {
  await settled();
  return (await gatehouse.mails(email)).filter(({ subject }) => SUBJECT.test(subject)).length;
}

const events = (subjectId: string) =>
  gatehouse.sql('SELECT type, outcome, actor_type, actor_id FROM audit_events WHERE subject_id = ? AND reason = ?', [
    subjectId,
    'password_breached',
  ]);

// Proves ASVS 6.2.12: breached passwords are refused when new, and told of once when in use
describe('a new password that is known from a breach', () => {
  test('sign-up refuses it, and counts', async () => {
    const before = await counted('breachedPasswords', { list: 'range', use: 'new' });
    const account = newAccount({ password: breachedPassword() });
    const { status, body } = await gatehouse.post('/auth/signup', account);
    expect(status).toBe(422);
    expect(refusalsOf(body)).toEqual(['invalid_fields', 'password: password_breached']);
    expect(await counted('breachedPasswords', { list: 'range', use: 'new' })).toBe(before + 1);
    await gatehouse.signUp({ email: account.email });
  });

  test('the built-in list is asked first, and counts too', async () => {
    const before = await counted('breachedPasswords', { list: 'builtin', use: 'new' });
    const requests = range.requests.length;
    const { body } = await gatehouse.post('/auth/signup', newAccount({ password: BUILTIN }));
    expect(refusalsOf(body)).toEqual(['invalid_fields', 'password: password_common']);
    expect(await counted('breachedPasswords', { list: 'builtin', use: 'new' })).toBe(before + 1);
    expect(range.requests).toHaveLength(requests);
  });

  test('a change refuses it', async () => {
    const account = await gatehouse.signUp();
    const { access_token: token } = await gatehouse.logIn(account);
    const change = (new_password: string) =>
      gatehouse.put('/users/me/password', { current_password: account.password, new_password }, { token });
    const { status, body } = await change(breachedPassword());
    expect(status).toBe(422);
    expect(refusalsOf(body)).toEqual(['invalid_fields', 'new_password: password_breached']);
    expect((await change(fresh())).status).toBe(204);
  });

  test('a reset refuses it, and the link stays good', async () => {
    const { email } = await gatehouse.signUp();
    await gatehouse.post('/auth/password/forgot', { email });
    const token = await gatehouse.mailedToken(email, /^Reset/);
    const reset = (new_password: string) => gatehouse.post('/auth/password/reset', { token, new_password });
    const { status, body } = await reset(breachedPassword());
    expect(status).toBe(422);
    expect(refusalsOf(body)).toEqual(['invalid_fields', 'new_password: password_breached']);
    expect((await reset(fresh())).status).toBe(204);
  });

  test('padding is nothing', async () => {
    const password = fresh();
    range.breach(password, 0);
    await gatehouse.signUp({ password });
  });
});

// Proves ASVS 14.2.3: five digits of a SHA-1 of a password leave the house, and only with HIBP_URL
test('five digits leave the house, and nothing else of any password', async () => {
  const { prefix } = splitDigest((await gatehouse.signUp()).password);
  expect(range.requests.at(-1)?.path).toBe(`/range/${prefix}`);
  for (const { method, path, headers } of range.requests) {
    expect([method, path]).toEqual(['GET', expect.stringMatching(/^\/range\/[0-9A-F]{5}$/)]);
    expect(headers['add-padding']).toBe('true');
  }
  const sent = JSON.stringify(range.requests);
  const known = [...gatehouse.secrets].flatMap((secret) => [secret, splitDigest(secret).suffix]);
  for (const secret of known) expect(sent).not.toContain(secret);
  const logged = gatehouse.logLines.join('');
  for (const secret of gatehouse.secrets) expect(logged).not.toContain(splitDigest(secret).suffix);
});

// Proves ASVS 6.2.12, ASVS 16.3.4: the breach check fails open, and records that
describe('when the service does not answer', () => {
  const monitor = async () => {
    const rows = await gatehouse.sql(
      "SELECT type, outcome FROM audit_events WHERE type LIKE 'sys_monitor%' ORDER BY id",
    );
    return rows.map(({ type, outcome }) => `${type} ${outcome}`);
  };

  test('passwords pass; that is counted each time, and recorded when it begins and when it ends', async () => {
    const before = await counted('breachCheckFailures');
    const modes: RangeBehaviour[] = ['silent', 'drop', { status: 500 }, { text: '<!doctype html>' }];
    limit.mockRestore();
    for (const behaviour of modes) {
      range.behaviour = behaviour;
      await gatehouse.signUp({ password: breachedPassword() });
    }
    liftLimit();
    expect(await counted('breachCheckFailures')).toBe(before + modes.length);
    expect(await monitor()).toEqual(['sys_monitor_disabled failure']);

    range.behaviour = 'answer';
    const { status } = await gatehouse.post('/auth/signup', newAccount({ password: breachedPassword() }));
    expect(status).toBe(422);
    await gatehouse.signUp();
    expect(await monitor()).toEqual(['sys_monitor_disabled failure', 'sys_monitor_enabled success']);
    expect(await counted('breachCheckFailures')).toBe(before + modes.length);
    expect(gatehouse.logLines.filter((line) => line.includes('breach_check_failed'))).toHaveLength(modes.length);
  });

  test('so they do when there is nobody at the port', async () => {
    const gone = await new RangeService().start();
    const { url } = gone;
    await gone.stop();
    const other = await gatehouse.another({ HIBP_URL: url });
    await other.logIn(await other.signUp({ password: breachedPassword() }));
    await other.stop();
  });
});

// Proves ASVS 6.2.12: breached passwords are refused when new, and told of once when in use
describe('a login with a password that is known by now', () => {
  /** Signed up before it was known. */
  async function breachedAccount(): Promise<Account & { id: string }> {
    const account = await gatehouse.signUp();
    range.breach(account.password);
    return account;
  }

  test('succeeds, and is told once, over several logins and several at once', async () => {
    const before = await counted('breachedPasswords', { list: 'range', use: 'login' });
    const account = await breachedAccount();
    await Promise.all(Array.from({ length: 6 }, () => gatehouse.logIn(account)));
    await settled();
    await gatehouse.logIn(account);
    expect(await told(account.email)).toBe(1);
    expect(await events(account.id)).toEqual([
      { type: 'user_updated', outcome: 'success', actor_type: 'system', actor_id: null },
    ]);
    expect(await counted('breachedPasswords', { list: 'range', use: 'login' })).toBe(before + 1);
  });

  test('is looked into no more once it was told', async () => {
    const account = await breachedAccount();
    await gatehouse.logIn(account);
    await settled();
    const asked = range.requests.length;
    await gatehouse.logIn(account);
    await settled();
    expect(range.requests).toHaveLength(asked);
  });

  test('is told again of another password', async () => {
    const account = await breachedAccount();
    const { access_token: token } = await gatehouse.logIn(account);
    expect(await told(account.email)).toBe(1);
    const changed = { ...account, password: fresh() };
    const body = { current_password: account.password, new_password: changed.password };
    expect((await gatehouse.put('/users/me/password', body, { token })).status).toBe(204);
    await gatehouse.logIn(changed);
    expect(await told(account.email)).toBe(1);
    range.breach(changed.password);
    await gatehouse.logIn(changed);
    expect(await told(account.email)).toBe(2);
  });

  test('is told of the built-in list too, and nobody is asked about it', async () => {
    const account = await gatehouse.signUp();
    const hash = await gatehouse.app.get(PasswordHasher).hash(account.id, BUILTIN);
    await gatehouse.sql('UPDATE users SET password_hash = ? WHERE id = ?', [hash, account.id]);
    const asked = range.requests.length;
    await gatehouse.logIn({ ...account, password: BUILTIN });
    expect(await told(account.email)).toBe(1);
    expect(range.requests).toHaveLength(asked);
  });

  test('waits for nothing', async () => {
    const account = await breachedAccount();
    range.behaviour = 'hold';
    const asked = range.requests.length;
    await gatehouse.logIn(account);
    await range.waitForRequests(asked + 1);
    range.release();
    expect(await told(account.email)).toBe(1);
  });

  test('is not told of a password that was changed while it was looked into', async () => {
    const account = await breachedAccount();
    range.behaviour = 'hold';
    await gatehouse.logIn(account);
    await gatehouse.sql('UPDATE users SET credentials_version = credentials_version + 1 WHERE id = ?', [account.id]);
    range.release();
    expect(await told(account.email)).toBe(0);
    expect(await events(account.id)).toEqual([]);
  });

  test('is told when the instance is stopped meanwhile', async () => {
    const other = await gatehouse.another();
    const account = await breachedAccount();
    range.behaviour = 'hold';
    await other.logIn(account);
    // Nothing else that the end of the process waits for may hold the database open.
    const hasher = other.app.get(PasswordHasher);
    const endHasher = hasher.onApplicationShutdown.bind(hasher);
    hasher.onApplicationShutdown = () => Promise.resolve();
    other.app.getHttpServer().once('close', () => range.release());
    await other.stop();
    await endHasher();
    expect(await events(account.id)).toHaveLength(1);
    expect(await told(account.email)).toBe(1);
  });

  test('a wrong password is asked about nowhere', async () => {
    const { email } = await gatehouse.signUp();
    const asked = range.requests.length;
    expect((await gatehouse.post('/auth/login', { email, password: breachedPassword() })).status).toBe(401);
    await settled();
    expect(range.requests).toHaveLength(asked);
  });
});

test('a password that is known from nowhere is told of to nobody', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.logIn(account);
  expect(await told(account.email)).toBe(0);
  const rows = await gatehouse.sql('SELECT breach_told_at FROM users WHERE id = ?', [account.id]);
  expect(rows).toEqual([{ breach_told_at: null }]);
});

// Last: it takes the log lines of the process.
// Proves ASVS 6.2.12: breached passwords are refused when new, and told of once when in use
describe('where an address has to be proved', () => {
  let strict: Gatehouse;
  beforeAll(async () => {
    strict = await gatehouse.another({ EMAIL_VERIFICATION: 'required' });
  });
  afterAll(() => strict.stop());

  test('the link of a sign-up refuses it, and stays good', async () => {
    const account = newAccount();
    expect((await strict.post('/auth/signup', account)).status).toBe(202);
    const token = await strict.mailedToken(account.email, /^Confirm/);
    const verify = (new_password: string) => strict.post('/auth/email/verify', { token, new_password });
    const { status, body } = await verify(breachedPassword());
    expect(status).toBe(422);
    expect(refusalsOf(body)).toEqual(['invalid_fields', 'new_password: password_breached']);
    expect((await verify(fresh())).status).toBe(204);
  });

  // Proves ASVS 6.3.8, CS Authentication: a sign-up that must be verified says the same, in the same time, for every address
  test('a sign-up that tells nobody who has an account asks and answers alike for every address', async () => {
    const { email } = newAccount();
    expect((await strict.post('/auth/signup', newAccount({ email }))).status).toBe(202);
    const token = await strict.mailedToken(email, /^Confirm/);
    expect((await strict.post('/auth/email/verify', { token })).status).toBe(204);
    const password = breachedPassword();
    const before = range.requests.length;
    const answers = [];
    for (const address of [email, newAccount().email]) {
      const { status, body } = await strict.post('/auth/signup', { email: address, password });
      answers.push([status, ...refusalsOf(body)]);
    }
    expect(answers[0]).toEqual([422, 'invalid_fields', 'password: password_breached']);
    expect(answers[1]).toEqual(answers[0]);
    expect(range.requests).toHaveLength(before + 2);
  });
});
