import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
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

// Proves ASVS 16.5.2, ASVS 16.5.3: a database out of reach means 503, never yes and never no
describe('a database that has gone: alive, not ready, 503 for what needs it, and all is well when it is back', () => {
  const login = { email: 'ada@example.com', password: 'violet kettle gravel' };

  async function expectUnavailable(other: Gatehouse, token: string): Promise<void> {
    expect((await other.get('/health/live')).status).toBe(200);
    expect((await other.get('/health/ready')).status).toBe(503);
    const answers = [
      await other.get('/users/me', { token }),
      await other.post('/auth/login', login),
      await other.post('/auth/logout', undefined, { token }),
      await other.post('/auth/refresh', { refresh_token: `01a203e0-390a-7649-97dc-7d3f8c9bf560.0.${'A'.repeat(43)}` }),
    ];
    for (const { status, body, headers } of answers) {
      expect([status, body.code]).toEqual([503, 'unavailable']);
      expect(headers.get('retry-after')).toMatch(/^\d+$/);
    }
  }

  // The network is cut between the service and a real server. An embedded database can only be closed under it.
  if (inject('databaseServer') === '') {
    test('closed', async () => {
      const other = await gatehouse.another();
      const { access_token: token } = await other.signUpAndLogIn();
      await other.dataSource.destroy();
      await expectUnavailable(other, token);
      await other.stop();
    });
  } else {
    test('cut off', async () => {
      const target = new URL(gatehouse.env['DATABASE_URL'] as string);
      const line = await startCuttableLine(target.hostname, Number(target.port));
      target.port = String(line.port);
      const other = await gatehouse.another({ DATABASE_URL: target.href });
      const { access_token: token } = await other.signUpAndLogIn();
      line.cut();
      await expectUnavailable(other, token);
      line.mend();
      expect((await other.get('/health/ready')).status).toBe(200);
      expect((await other.get('/users/me', { token })).status).toBe(200);
      await other.stop();
      line.close();
    });
  }
});

/** A TCP proxy that can refuse and drop connections, like a network that fails. */
async function startCuttableLine(host: string, port: number) {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return near.resetAndDestroy();
    const far = connect(port, host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
    }
    return void near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    mend: () => {
      isCut = false;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
