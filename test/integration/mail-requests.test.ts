import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { MailRequestWorker } from '../../src/auth/account/mail-request.worker.js';
import { MailRequestRepository } from '../../src/auth/mail-request.repository.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { UserRepository } from '../../src/users/user.repository.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
let worker: MailRequestWorker;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  worker = gatehouse.app.get(MailRequestWorker);
  await worker.loop.stop(); // the rounds are ours
});
afterEach(async () => {
  vi.restoreAllMocks();
  await worker.answerAll();
});
afterAll(() => gatehouse.stop());

const client = { ip: '203.0.113.7', userAgent: null, requestId: null };

/** So many requests, each for an address of its own. */
async function request(count: number): Promise<void> {
  const requests = gatehouse.app.get(MailRequestRepository);
  for (let i = 0; i < count; i++) {
    await requests.add({ kind: 'reset_password', emailCanonical: `nobody.${i}@example.com` }, client);
  }
}

async function gauge(name: string): Promise<number | undefined> {
  const metric = await gatehouse.app.get(Metrics).registry.getSingleMetric(`gatehouse_mail_requests_${name}`)?.get();
  return metric?.values[0]?.value;
}

test('a round answers everything that waits, and the gauges show what does', async () => {
  await request(120);
  gatehouse.passSeconds(30);
  expect(await gauge('waiting')).toBe(120);
  const age = await gauge('oldest_seconds');
  gatehouse.passSeconds(-30);
  expect(age).toBeGreaterThanOrEqual(30);
  expect(age).toBeLessThan(60);
  expect(await worker.answerAll()).toBe(120);
  expect([await gauge('waiting'), await gauge('oldest_seconds')]).toEqual([0, 0]);
});

test('what cannot be answered just now waits for the next round, and keeps nobody else waiting', async () => {
  await request(120);
  const find = vi.spyOn(gatehouse.app.get(UserRepository), 'findByEmailWithHash');
  for (let i = 0; i < 60; i++) find.mockRejectedValueOnce(new Error('of the test'));
  expect(await worker.answerAll()).toBe(60);
  expect(await gauge('waiting')).toBe(60);
  expect(await worker.answerAll()).toBe(60);
});

test('a round ends when the process stops', async () => {
  await request(60);
  let left = 10;
  expect(await worker.answerAll(() => left-- <= 0)).toBe(10);
  expect(await gauge('waiting')).toBe(50);
});
