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

const HALF_A_HEAD = 'POST /auth/login HTTP/1.1\r\nHost: localhost\r\nX-Slow: ';
const NO_BODY =
  'POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function openSlow(server: ServerProcess, count: number, bytes: string): Promise<Socket[]> {
  const { hostname, port } = new URL(server.origin);
  const opened = Array.from({ length: count }, () => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    return socket;
  });
  sockets.push(...opened);
  await Promise.all(opened.map((socket) => once(socket, 'connect')));
  for (const socket of opened) socket.write(bytes);
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
test.each([
  ['half a head', HALF_A_HEAD],
  ['a head and no body', NO_BODY],
])('beyond MAX_CONNECTIONS the oldest that have sent %s make room: nobody is kept out', async (_, bytes) => {
  const server = await start({ MAX_CONNECTIONS: '100' });
  const slow = await openSlow(server, 300, bytes);
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
    const heads = await openSlow(server, 1_000, HALF_A_HEAD);
    const bodies = await openSlow(server, 1_000, NO_BODY);
    const slow = [...heads, ...bodies];
    const trickle = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('a');
    }, 1_000);
    try {
      expect(await medianLatencyMs(server)).toBeLessThan(100);
      const answers = [heads, bodies].map(([first]) => once(first as Socket, 'data'));
      // 10 s for the headers and 15 s for the request, looked at every second. Not so many bytes that a body comes whole.
      await until(() => slow.every((socket) => socket.closed), 100);
      for (const answer of answers) expect(String((await answer)[0])).toMatch(/^HTTP\/1.1 408 /);
    } finally {
      clearInterval(trickle);
    }
    await server.stop();
  });
}
