import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { LoginService } from '../../src/auth/login.service.js';
import { newAccount, startGatehouse, type Gatehouse } from '../support/gatehouse.js';

/** At this cost, with one thread, a login begins every 123 ms. */
const SLOW = { BCRYPT_COST: '14', HASH_CONCURRENCY: '1' };

/** The status of a login by somebody who has no account; undefined when it was given up. */
function guess({ origin }: Gatehouse, signal?: AbortSignal): Promise<number | undefined> {
  const body = JSON.stringify({ email: newAccount().email, password: 'not the right one' });
  const options = { method: 'POST', body, headers: { 'Content-Type': 'application/json' } };
  return fetch(`${origin}/auth/login`, { ...options, ...(signal && { signal }) }).then(
    ({ status }) => status,
    () => undefined,
  );
}

test('of a crowd of logins, whoever goes before its turn costs nothing', async () => {
  const gatehouse = await startGatehouse(SLOW);
  const begun = vi.spyOn(gatehouse.app.get(LoginService), 'authenticate');
  let came = 0;
  gatehouse.app.getHttpServer().on('request', () => (came += 1));

  const first = guess(gatehouse);
  while (begun.mock.calls.length === 0) await sleep(1);
  const gone = new AbortController();
  const crowd = Array.from({ length: 5 }, () => guess(gatehouse, gone.signal));
  while (came < 6) await sleep(1);
  gone.abort();
  const last = guess(gatehouse);
  const { length: before } = begun.mock.calls;
  expect(before).toBeLessThan(5);
  expect(await Promise.all(crowd)).toEqual(Array(5).fill(undefined));
  expect(await Promise.all([first, last])).toEqual([401, 401]);
  expect(begun.mock.calls.length).toBeLessThanOrEqual(before + 2); // the last one, and one whose end was not heard of in time
  await gatehouse.stop();
});
