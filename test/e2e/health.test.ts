import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

test('alive and ready, with no details', async () => {
  for (const path of ['/health/live', '/health/ready']) {
    const { status, body } = await gatehouse.get(path);
    expect([status, body]).toEqual([200, { status: 'ok' }]);
  }
});

test('a pending migration: alive, not ready', async () => {
  const [last] = await gatehouse.sql('SELECT id, timestamp, name FROM migrations ORDER BY id DESC LIMIT 1');
  await gatehouse.sql('DELETE FROM migrations WHERE id = ?', [last.id]);
  expect((await gatehouse.get('/health/live')).status).toBe(200);
  const { status, body } = await gatehouse.get('/health/ready');
  expect([status, body]).toEqual([503, { status: 'unavailable' }]);
  await gatehouse.sql('INSERT INTO migrations (timestamp, name) VALUES (?, ?)', [last.timestamp, last.name]);
  expect((await gatehouse.get('/health/ready')).status).toBe(200);
});

test('a database that has gone: alive, not ready, and 503 for what needs it', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const other = await gatehouse.another();
  await other.dataSource.destroy();
  expect((await other.get('/health/live')).status).toBe(200);
  expect((await other.get('/health/ready')).status).toBe(503);
  expect((await other.get('/users/me', { token })).status).toBe(503);
  const login = await other.post('/auth/login', { email: 'ada@example.com', password: 'violet kettle gravel' });
  expect(login.status).toBe(503);
  expect(login.body.code).toBe('unavailable');
  await other.stop();
});
