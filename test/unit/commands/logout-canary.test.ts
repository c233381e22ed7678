import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { CanaryFailed, measureLogouts } from '../../../src/commands/logout-canary.js';

test.each([
  { what: 'answers nothing', take: () => {}, answer: 'in 200 ms' },
  // On Node 20 a fetch may never settle then: the process would end without a word.
  { what: 'closes every connection', take: (socket: Socket) => socket.end(), answer: /^(UND_ERR_SOCKET|in 200 ms)$/ },
])('a place that $what does not answer', async ({ take, answer }) => {
  const server = createServer((socket) => take(socket.on('error', () => {})));
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const account = { email: 'ada@example.com', password: 'violet kettle gravel' };
  const settings = { urls: [url], ...account, verifiers: [], rounds: 1, giveUpMs: 1_000, timeoutMs: 200 };
  const failure: Error = await measureLogouts(settings).then(
    () => expect.unreachable(),
    (error) => error,
  );
  expect(failure).toBeInstanceOf(CanaryFailed);
  const [, address, reason] = /^(\S+) does not answer \((.+)\)\.$/.exec(failure.message) ?? [];
  expect([address, reason]).toEqual([`${url}/auth/login`, expect.stringMatching(answer)]);
});
