import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { REFUSED, trackConnections } from '../../src/http.connections.js';

const WHOLE = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const HALF_A_HEAD = 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ';
const NO_BODY = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n';
/** More than the system keeps of it for a client that does not read. */
const LONG_ANSWER = Buffer.alloc(32 * 1024 * 1024);

const shortly: RequestListener = (_, response) => void response.end('done');

/** A server that takes two connections, and answers what has come whole. */
async function startServer(answer = shortly) {
  const server = createServer((request, response) => request.resume().once('end', () => answer(request, response)));
  const refused: string[] = [];
  server.on(REFUSED, (reason: string) => refused.push(reason));
  trackConnections(server, 2);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets: Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  /** A connection that the server has taken. It reads nothing before `ask`. */
  const open = async () => {
    const taken = once(server, 'connection');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
    sockets.push(socket);
    await taken;
    return socket;
  };
  /** One that has sent this, and whose headers, where they are whole, the server has read. */
  const openWith = async (bytes: string) => {
    const socket = await open();
    const read = bytes.endsWith('\r\n\r\n') ? once(server, 'request') : undefined;
    socket.write(bytes);
    await read;
    return socket;
  };
  return { open, openWith, refused };
}

/** What comes first of the answer to a request. */
async function ask(socket: Socket): Promise<string> {
  const answer = once(socket, 'data');
  socket.write(WHOLE);
  return String((await answer)[0]);
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, 'close');
}

// Proves ASVS 15.2.2, CS Node.js Security: thousands of half-sent requests keep nobody out
test.each([
  ['nothing', '', shortly],
  ['half a head', HALF_A_HEAD, shortly],
  ['a head and no body', NO_BODY, shortly],
  ['a request whose answer it does not read', WHOLE, (_, response) => void response.end(LONG_ANSWER)],
] satisfies [string, string, RequestListener][])('who has sent %s makes room', async (_, bytes, answer) => {
  const { open, openWith, refused } = await startServer(answer);
  const first = await openWith(bytes);
  await openWith(bytes);
  expect(await ask(await open())).toContain('200 OK');
  await closed(first);
  expect(refused).toEqual(['evicted']);
});

test('it is the one that has waited longest since it came or had its last answer', async () => {
  const { open, openWith, refused } = await startServer();
  const old = await open();
  const younger = await openWith(HALF_A_HEAD);
  await ask(old);
  await open();
  await closed(younger);
  expect(await ask(old)).toContain('200 OK');
  expect(refused).toEqual(['evicted']);
});

test('who is being answered makes no room: the newcomer goes', async () => {
  const { open, openWith, refused } = await startServer(() => {});
  const kept = [await openWith(WHOLE), await openWith(WHOLE)];
  await closed(await open());
  expect(kept.map(({ destroyed }) => destroyed)).toEqual([false, false]);
  expect(refused).toEqual(['server_full']);
});

test('one that has closed makes room once', async () => {
  const { open, openWith, refused } = await startServer((_, response) => void response.destroy());
  for (let i = 0; i < 4; i++) await closed(await openWith(WHOLE));
  await open();
  await open();
  expect(refused).toEqual([]);
});
