import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { AuditSealer } from '../../src/audit/audit-sealer.js';
import { MailRequestWorker } from '../../src/auth/account/mail-request.worker.js';
import { MetricsServer } from '../../src/metrics/metrics.server.js';
import { ServiceClientService } from '../../src/oauth/service-client.service.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { makeService } from '../support/service-client.js';
import { isDatabaseServer, until } from '../support/server-process.js';

let gatehouse: Gatehouse;
let origin: string;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  origin = originOf(gatehouse);
});
afterAll(() => gatehouse.stop());

function originOf({ app }: Gatehouse): string {
  const { address, port } = app.get(MetricsServer).address;
  return `http://${address}:${port}`;
}

const metricsOf = async (instance: Gatehouse) => (await fetch(`${originOf(instance)}/metrics`)).text();
const scrape = () => metricsOf(gatehouse);

/** The values of the lines of a metric, by their labels. */
function valuesOf(text: string, name: string): Record<string, number> {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return Object.fromEntries(
    lines.map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

// Proves ASVS 13.4.5: the docs are there where they are asked for, the metrics on a port of their own
test('is on the loopback, on a port of its own, and not on that of the API', async () => {
  expect(gatehouse.app.get(MetricsServer).address.address).toBe('127.0.0.1');
  const answer = await fetch(`${origin}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect((await gatehouse.get('/metrics')).status).toBe(404);
});

test('takes GET /metrics and nothing else', async () => {
  expect((await fetch(`${origin}/`)).status).toBe(404);
  const post = await fetch(`${origin}/metrics`, { method: 'POST' });
  expect(post.status).toBe(405);
  expect(post.headers.get('allow')).toBe('GET');
});

describe('counts', () => {
  // Proves CS Credential Stuffing Prevention: every defence is counted
  test('what happens to logins, sessions and tokens', async () => {
    const before = await scrape();
    const account = await gatehouse.signUp();
    const { access_token, refresh_token } = await gatehouse.logIn(account);
    for (let i = 0; i < 10; i++)
      await gatehouse.post('/auth/login', { email: account.email, password: 'not this one' });
    await gatehouse.get('/users/me', { token: access_token });
    await gatehouse.post('/auth/refresh', { refresh_token });
    gatehouse.passSeconds(11);
    await gatehouse.post('/auth/refresh', { refresh_token });
    gatehouse.passSeconds(-11);
    const after = await scrape();
    const growth = (name: string, labels = '') =>
      (valuesOf(after, name)[labels] ?? 0) - (valuesOf(before, name)[labels] ?? 0);
    expect(growth('gatehouse_sessions_opened_total')).toBe(1);
    expect(growth('gatehouse_sessions_ended_total', '{reason="refresh_token_replayed"}')).toBe(1);
    expect(growth('gatehouse_refresh_replays_total')).toBe(1);
    expect(growth('gatehouse_login_attempts_total', '{result="success"}')).toBe(1);
    expect(growth('gatehouse_login_attempts_total', '{result="wrong_password"}')).toBe(10);
    expect(growth('gatehouse_locks_total', '{kind="lock"}')).toBe(1);
    expect(growth('gatehouse_password_hashes_total', '{purpose="check"}')).toBe(11);
    expect(growth('gatehouse_password_hashes_total', '{purpose="new"}')).toBe(1);
    expect(growth('gatehouse_revocation_lookups_total', '{result="answered"}')).toBe(1);
    expect(growth('gatehouse_revocation_lookup_batch_size_count')).toBe(1);
    expect(growth('gatehouse_audit_events_total', '{type="authn_token_reuse",outcome="failure"}')).toBe(1);
    const route = '{method="POST",route="/auth/login",status="401"}';
    expect(growth('gatehouse_http_request_duration_seconds_count', route)).toBe(10);
  });

  test('paths that are none under one label, and no label of a client’s choosing', async () => {
    for (const path of ['/nowhere/1', '/nowhere/2', '/auth/sessions/some-secret']) await gatehouse.get(path);
    await gatehouse.request('PROPFIND', '/auth/login').catch(() => {});
    const text = await scrape();
    expect(text).not.toMatch(/nowhere|some-secret|PROPFIND/);
    expect(text).toContain('route="none"');
  });
});

test('counts connections that made room, and requests that could not be read', async () => {
  const full = await gatehouse.another({ MAX_CONNECTIONS: '100' });
  const { hostname, port } = new URL(full.origin);
  const open = () => connect(Number(port), hostname).on('error', () => {});
  const sockets = Array.from({ length: 101 }, open);
  sockets.push(open().end('canary\r\n\r\n'), open().end(`GET / HTTP/1.1\r\nX-Canary: ${'x'.repeat(20_000)}\r\n\r\n`));
  try {
    const counted = async () => valuesOf(await metricsOf(full), 'gatehouse_http_refused_total');
    await until(async () => Object.keys(await counted()).length === 3);
    const { '{reason="evicted"}': evicted, ...unreadable } = await counted();
    expect(evicted).toBeGreaterThanOrEqual(1);
    expect(unreadable).toEqual({ '{reason="malformed_request"}': 1, '{reason="headers_too_large"}': 1 });
  } finally {
    for (const socket of sockets) socket.destroy();
    await full.stop();
  }
});

test('shows how full and how late everything is', async () => {
  const text = await scrape();
  const names = [
    'password_hashes_waiting',
    'password_hashes_running',
    'mail_requests_waiting',
    'mail_requests_oldest_seconds',
    'outbox_waiting',
    'outbox_dead',
    'outbox_oldest_seconds',
    'audit_unsealed_events',
    'audit_oldest_unsealed_seconds',
    'http_connections',
    'login_accounts_per_address_max',
    'nodejs_eventloop_lag_p99_seconds',
    ...(isDatabaseServer() ? ['database_connections_busy', 'database_connection_waits'] : []),
  ];
  for (const name of names) expect(Object.keys(valuesOf(text, `gatehouse_${name}`)), name).toEqual(['']);
});

test('a mail that waits shows with its age', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.sendMails();
  const before = valuesOf(await scrape(), 'gatehouse_outbox_waiting')[''] ?? 0;
  gatehouse.smtp!.behaviour = { refuse: 451 };
  await gatehouse.post('/auth/password/forgot', { email: account.email });
  await gatehouse.app.get(MailRequestWorker).answerAll();
  gatehouse.passSeconds(30);
  const text = await scrape();
  gatehouse.passSeconds(-30);
  gatehouse.smtp!.behaviour = 'accept';
  expect(valuesOf(text, 'gatehouse_outbox_waiting')['']).toBe(before + 1);
  const age = valuesOf(text, 'gatehouse_outbox_oldest_seconds')[''];
  expect(age).toBeGreaterThanOrEqual(29);
  expect(age).toBeLessThan(60);
});

test('an event that no seal covers shows with its age', async () => {
  const sealer = gatehouse.app.get(AuditSealer);
  await sealer.stop();
  await sealer.sealAll();
  expect(valuesOf(await scrape(), 'gatehouse_audit_oldest_unsealed_seconds')['']).toBe(0);
  await gatehouse.signUp();
  gatehouse.passSeconds(300);
  const age = valuesOf(await scrape(), 'gatehouse_audit_oldest_unsealed_seconds')[''];
  gatehouse.passSeconds(-300);
  sealer.start();
  expect(age).toBeGreaterThanOrEqual(300);
  expect(age).toBeLessThan(330);
});

test('a service that is silent for an hour, or was disabled, is not shown any more', async () => {
  const one = await startGatehouse();
  onTestFinished(() => one.stop());
  const [silent, disabled, live] = [await makeService(one), await makeService(one), await makeService(one)];
  const shown = async () => {
    const silences = valuesOf(await metricsOf(one), 'gatehouse_verifier_silent_seconds');
    return [silent, disabled, live].filter(({ name }) => `{client="${name}"}` in silences);
  };
  await silent.feed();
  await disabled.feed();
  one.passSeconds(3_540);
  await live.feed();
  expect(await shown()).toEqual([silent, disabled, live]);
  const clients = one.app.get(ServiceClientService);
  await clients.disable((await clients.find(disabled.id))!, { type: 'operator', id: 'grace' });
  await until(async () => !(await shown()).includes(disabled));
  expect(await shown()).toEqual([silent, live]);
  one.passSeconds(60);
  expect(await shown()).toEqual([live]);
});

test('the key that signs shows with its age, and the one after it begins at nothing', async () => {
  const one = await startGatehouse({ SIGNING_KEY_DAYS: '1' });
  onTestFinished(() => one.stop());
  const age = async () => {
    await one.get('/.well-known/jwks.json');
    return valuesOf(await metricsOf(one), 'gatehouse_signing_key_age_seconds')[''];
  };
  expect(await age()).toBeLessThan(30);
  one.passSeconds(3_600);
  expect(await age()).toBeGreaterThanOrEqual(3_600);
  one.passSeconds(82_801);
  expect(await age()).toBeLessThan(60);
});
