import { once } from 'node:events';
import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { baseEnvironment, newAccount, type Account } from '../support/gatehouse.js';
import { freePort, lookInto, run, startServer, temporaryDatabase, until } from '../support/server-process.js';

const CLIENTS = 20;

// Proves ours (Errors): a stop answers what was accepted and refuses what comes later
test('SIGTERM under load: what was accepted is answered, what comes later is refused', async () => {
  const url = await temporaryDatabase();
  const server = await startServer({ ...baseEnvironment(url), BCRYPT_COST: '10', HASH_CONCURRENCY: '2' });
  const accounts = await Promise.all(Array.from({ length: CLIENTS }, () => server.signUp()));

  let isAsked = false;
  const attempts: Attempt[] = [];
  const clients = accounts.map(async (account) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    for (;;) {
      const attempt = new Attempt(() => isAsked);
      attempts.push(attempt);
      await attempt.logIn(server.origin, agent, account);
      if (attempt.status !== 200) return;
    }
  });
  const underWay = () => attempts.filter(({ isAccepted, isOver }) => isAccepted && !isOver);
  await until(() => attempts.length > CLIENTS + 5 && underWay().length > CLIENTS / 2, 1);

  const accepted = underWay();
  isAsked = true;
  // 0, and not 1: it has not been cut short by its own time limit either.
  expect(await server.program.kill('SIGTERM'), server.program.output).toEqual({ code: 0, signal: null });
  await Promise.all(clients);

  expect(accepted.map(({ status, isWhole }) => ({ status, isWhole }))).toEqual(
    accepted.map(() => ({ status: 200, isWhole: true })),
  );
  for (const attempt of attempts.filter(({ status }) => status !== 200)) {
    if (attempt.status === undefined) {
      expect(attempt.hasAnswer, 'an answer that was cut').toBe(false);
      expect(['ECONNREFUSED', 'ECONNRESET']).toContain(attempt.errorCode);
    } else {
      expect(attempt).toMatchObject({ status: 503, isWhole: true });
      expect(attempt.headers['connection']).toBe('close');
      expect(attempt.headers['content-type']).toContain('application/problem+json');
      expect(attempt.text).toContain('"unavailable"');
    }
  }
  expect(attempts.every(({ isWhole, hasAnswer }) => isWhole || !hasAnswer)).toBe(true);

  const rows = await lookInto(url);
  const [sessions] = await rows.query<{ count: number | string }[]>('SELECT COUNT(*) AS count FROM sessions');
  expect(Number(sessions?.count), 'every login that was done was answered').toBe(
    attempts.filter(({ status }) => status === 200).length,
  );
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s: connections without a request do not hold the process up',
  async (signal) => {
    const server = await startServer(baseEnvironment(await temporaryDatabase()));
    const ask = 'GET /health/live HTTP/1.1\r\nHost: gatehouse\r\n\r\n';
    const idle = await connection(server.origin);
    idle.write(ask);
    await once(idle, 'data');
    const silent = await connection(server.origin); // a browser's preconnect, a balancer's check
    const half = await connection(server.origin);
    half.write(ask.slice(0, 30));
    const halfAgain = await connection(server.origin);
    halfAgain.write(ask + ask.slice(0, 30));
    await once(halfAgain, 'data');
    const closed = [idle, silent, half, halfAgain].map((socket) => once(socket, 'close'));

    expect(await server.program.kill(signal), server.program.output).toEqual({ code: 0, signal: null });
    await Promise.all(closed);
  },
);

test('while the last answers are on their way, the connections they travel on are closed behind them', async () => {
  const server = await startServer({ ...baseEnvironment(await temporaryDatabase()), BCRYPT_COST: '12' });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const attempt = new Attempt(() => false);
  const done = attempt.logIn(server.origin, agent, newAccount());
  await until(() => attempt.isAccepted, 1);
  expect(await server.program.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  await done;
  expect(attempt).toMatchObject({ status: 401, isWhole: true });
  expect(attempt.headers['connection']).toBe('close');
});

test('SIGTERM while the database is still awaited ends the process in good order', async () => {
  const url = `mysql://nobody@127.0.0.1:${await freePort()}/nothing`;
  const program = run('main', baseEnvironment(url));
  await program.line(/database_not_there_yet/);
  expect(await program.kill('SIGTERM'), program.output).toEqual({ code: 0, signal: null });
});

// Proves PCI 10.2.1.6: the start and the stop of the service are in the audit trail
test('a start and a stop in good order are recorded', async () => {
  const url = await temporaryDatabase();
  await (await startServer(baseEnvironment(url))).stop();
  const rows = await (await lookInto(url)).query('SELECT type, actor_type FROM audit_events ORDER BY id');
  expect(rows).toEqual([
    { type: 'sys_startup', actor_type: 'system' },
    { type: 'sys_shutdown', actor_type: 'system' },
  ]);
});

/**
 * One login, watched closely. It waits for `100 Continue` before it sends its body: Node says that when it hands the
 * request over, so a login that has heard it before the signal was accepted before the signal.
 */
class Attempt {
  isAccepted = false;
  isOver = false;
  hasAnswer = false;
  isWhole = false;
  status: number | undefined;
  headers: IncomingHttpHeaders = {};
  text = '';
  errorCode: string | undefined;

  constructor(private readonly isAsked: () => boolean) {}

  logIn(origin: string, agent: Agent, { email, password }: Account): Promise<void> {
    const body = JSON.stringify({ email, password });
    let isAnswered = false;
    return new Promise((resolve) => {
      const end = () => {
        this.isOver = true;
        resolve();
      };
      const sent = request(`${origin}/auth/login`, {
        agent,
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          Expect: '100-continue',
        },
      });
      sent.on('continue', () => {
        this.hasAnswer = true;
        this.isAccepted = !this.isAsked();
        sent.end(body);
      });
      sent.on('response', (answer) => {
        isAnswered = true;
        this.hasAnswer = true;
        this.headers = answer.headers;
        answer.setEncoding('utf8').on('data', (chunk: string) => (this.text += chunk));
        answer.on('end', () => {
          this.status = answer.statusCode;
          this.isWhole = answer.complete;
        });
        answer.on('error', () => {}); // told by isWhole
        answer.on('close', end);
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        this.errorCode ??= error.code;
        if (!isAnswered) end();
      });
      sent.flushHeaders();
    });
  }
}

async function connection(origin: string): Promise<Socket> {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {}); // a reset is as good an end as any: no request was under way
  await once(socket, 'connect');
  return socket;
}
