import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { baseEnvironment } from '../support/gatehouse.js';
import {
  isDatabaseServer,
  startServer,
  temporaryDatabase,
  until,
  type ServerProcess,
} from '../support/server-process.js';

const HALF_A_REQUEST = 'POST /auth/login HTTP/1.1\r\nHost: localhost\r\nX-Slow: ';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function openSlow(server: ServerProcess, count: number): Promise<Socket[]> {
  const { hostname, port } = new URL(server.origin);
  const opened = Array.from({ length: count }, () => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    return socket;
  });
  sockets.push(...opened);
  await Promise.all(opened.map((socket) => once(socket, 'connect')));
  for (const socket of opened) socket.write(HALF_A_REQUEST);
  return opened;
}

async function medianLatencyMs(server: ServerProcess, times = 21): Promise<number> {
  const taken: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    expect((await server.get('/health/live')).status).toBe(200);
    taken.push(performance.now() - start);
  }
  return taken.sort((a, b) => a - b)[Math.floor(times / 2)] as number;
}

const start = async (settings: Record<string, string> = {}) =>
  startServer({ ...baseEnvironment(await temporaryDatabase()), ...settings });

// Proves ASVS 15.2.2, CS Node.js Security: thousands of half-sent requests keep nobody out
test('beyond MAX_CONNECTIONS the oldest that wait make room: nobody is kept out', async () => {
  const server = await start({ MAX_CONNECTIONS: '100' });
  const slow = await openSlow(server, 300);
  await until(() => slow.filter((socket) => socket.closed).length >= 200);
  const account = await server.signUp();
  await server.logIn(account);
  expect(slow.slice(0, 100).every((socket) => socket.closed)).toBe(true);
  await server.stop();
});

// It is about sockets and takes the seconds of a time-out: once is enough.
if (!isDatabaseServer()) {
  // Proves ASVS 15.2.2, CS Node.js Security: thousands of half-sent requests keep nobody out
  test('2,000 half-sent requests that trickle on leave the others under 100 ms, and are ended', async () => {
    const server = await start();
    const slow = await openSlow(server, 2_000);
    const trickle = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('a');
    }, 1_000);
    try {
      expect(await medianLatencyMs(server)).toBeLessThan(100);
      // 10 s for the headers, looked at every second.
      await until(() => slow.every((socket) => socket.closed), 100);
    } finally {
      clearInterval(trickle);
    }
    await server.stop();
  });
}
