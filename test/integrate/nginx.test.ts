import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Unavailable } from '../../src/common/domain-error.js';
import { RevocationLookup } from '../../src/tokens/revocation-lookup.js';
import { example } from '../support/examples.js';
import type { Gatehouse, Tokens } from '../support/gatehouse.js';
import { NGINX } from '../support/integration-tools.js';
import { freePort, type Program } from '../support/server-process.js';
import {
  bearer,
  claimsOf,
  hostOf,
  ProtectedService,
  send,
  startExampleGatehouse,
  startProgram,
  stopPrograms,
  TlsProxy,
} from './support.js';

let gatehouse: Gatehouse;
let service: ProtectedService;
let folder: string;
let nginx: { program: Program; host: string };
let tokens: Tokens;
beforeAll(async () => {
  gatehouse = await startExampleGatehouse();
  service = await ProtectedService.start();
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-nginx-'));
  nginx = await startNginx(gatehouse);
});
afterAll(async () => {
  await stopPrograms();
  service?.stop();
  await gatehouse?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  tokens = await gatehouse.signUpAndLogIn();
  service.takeSeen();
});

/** The example, within what a packaged nginx.conf has around it. */
async function startNginx(
  its: { origin: string },
  change = (text: string) => text,
): Promise<{ program: Program; host: string }> {
  const host = `127.0.0.1:${await freePort()}`;
  const file = join(folder, `${host}.conf`);
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const places = { '127.0.0.1:3000': hostOf(its), '127.0.0.1:8080': host, '127.0.0.1:9000': service.host };
  const text = example('nginx', places);
  writeFileSync(
    file,
    `daemon off; pid ${folder}/${host}.pid; error_log stderr;
    ${userInfo().uid === 0 ? 'user root;' : ''}
    worker_processes 1;
    events {}
    http {
      access_log off;
      ${scratch.join('\n      ')}
      ${change(text)}
    }`,
  );
  const program = await startProgram(NGINX, ['-p', folder, '-c', file, '-e', 'stderr'], host);
  return { program, host };
}

// Proves ours (Checking tokens): behind nginx with auth_request, the service is told by Gatehouse alone who asks
describe('a good token', () => {
  test('reaches the service, with whose it is and without the token', async () => {
    const { access_token: token } = tokens;
    const { sub, sid } = claimsOf(token);
    const answer = await send(nginx.host, bearer(token), { path: '/orders?page=2' });
    expect([answer.status, answer.text]).toEqual([200, 'the service']);
    const [seen] = service.takeSeen();
    expect(seen).toMatchObject({ method: 'GET', path: '/orders?page=2' });
    expect(seen?.headers).toMatchObject({ 'x-user-id': sub, 'x-session-id': sid });
    expect(seen?.headers.authorization).toBeUndefined();
  });

  test('is not whose the client says', async () => {
    const { sub, sid } = claimsOf(tokens.access_token);
    const spoofed = {
      'X-User-Id': ['somebody', 'else'],
      'X-Session-Id': 'other',
      'x-user-ID': 'somebody',
      X_User_Id: 'somebody',
      'X-User_Id': 'somebody',
    };
    expect((await send(nginx.host, { ...bearer(tokens.access_token), ...spoofed })).status).toBe(200);
    const [seen] = service.takeSeen();
    expect(seen?.headers).toMatchObject({ 'x-user-id': sub, 'x-session-id': sid });
    expect(JSON.stringify(seen)).not.toMatch(/somebody|else|other/);
  });

  test('brings a body to the service, and not to Gatehouse', async () => {
    const body = 'x'.repeat(100_000);
    const { status } = await send(nginx.host, bearer(tokens.access_token), { method: 'POST', path: '/orders', body });
    expect(status).toBe(200);
    expect(service.takeSeen()).toMatchObject([{ method: 'POST', body }]);
  });

  test('is asked about over connections that are kept', async () => {
    const opened = vi.fn();
    gatehouse.app.getHttpServer().on('connection', opened);
    for (let i = 0; i < 20; i++) expect((await send(nginx.host, bearer(tokens.access_token))).status).toBe(200);
    expect(opened.mock.calls.length).toBeLessThanOrEqual(1);
    gatehouse.app.getHttpServer().off('connection', opened);
  });

  test('does not make a failure of the service one of Gatehouse', async () => {
    service.status = 500;
    const { status, text } = await send(nginx.host, bearer(tokens.access_token));
    service.status = 200;
    expect([status, text]).toEqual([500, 'the service']);
  });
});

test('without a token, or with one that is none, it is 401 with the challenge, and the service hears nothing', async () => {
  const none = await send(nginx.host, { 'X-User-Id': 'somebody' });
  expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="gatehouse"']);
  for (const wrong of ['x', `${tokens.access_token}x`]) {
    const answer = await send(nginx.host, bearer(wrong));
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="gatehouse", error="invalid_token"');
  }
  expect((await send(nginx.host, { Authorization: `Basic ${btoa('a:b')}` })).status).toBe(401);
  expect((await send(nginx.host, bearer(tokens.access_token), { path: '/_gatehouse' })).status).toBe(404);
  expect(service.takeSeen()).toEqual([]);
});

// Proves ASVS 9.2.2: only access tokens open a route
test('a refresh token opens nothing', async () => {
  expect((await send(nginx.host, bearer(tokens.refresh_token))).status).toBe(401);
  expect(service.takeSeen()).toEqual([]);
});

// Proves ours (Checking tokens): a proxy that asks Gatehouse refuses a token on the first request after its logout
test('a token is refused on the first request after its logout', async () => {
  for (let i = 0; i < 10; i++) {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    expect((await send(nginx.host, bearer(token))).status).toBe(200);
    expect((await gatehouse.post('/auth/logout', undefined, { token })).status).toBe(204);
    expect((await send(nginx.host, bearer(token))).status).toBe(401);
  }
});

// Proves ASVS 16.5.3: where Gatehouse cannot be asked, a proxy that asks it lets nobody through
describe('when nobody can tell it is 503, and the service hears nothing:', () => {
  test('Gatehouse cannot ask its table', async () => {
    const error = new Unavailable('store_unavailable', 1);
    const lookup = vi.spyOn(gatehouse.app.get(RevocationLookup), 'isRevoked').mockRejectedValue(error);
    const answer = await send(nginx.host, bearer(tokens.access_token));
    lookup.mockRestore();
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect(service.takeSeen()).toEqual([]);
    expect((await send(nginx.host, bearer(tokens.access_token))).status).toBe(200);
  });

  test('Gatehouse is down', async () => {
    const other = await gatehouse.another();
    const proxy = await startNginx(other);
    expect((await send(proxy.host, bearer(tokens.access_token))).status).toBe(200);
    service.takeSeen();
    await other.stop();
    for (const headers of [bearer(tokens.access_token), {}]) {
      const answer = await send(proxy.host, headers);
      expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    }
    await proxy.program.kill('SIGTERM');
    expect(service.takeSeen()).toEqual([]);
  });
});

// Proves ASVS 12.3.2: the certificate of Gatehouse is checked by the programs of docs/integrate.md
test('over TLS it is Gatehouse that answers, or nobody', async () => {
  const tlsLines = example('nginx-tls', {
    '/etc/ssl/certs/ca-certificates.crt': `${folder}/ours.pem`,
    'auth.example.com': 'localhost',
  });
  const overTls = (text: string) => text.replace('proxy_pass http://gatehouse/auth/verify;', tlsLines);
  const front = await TlsProxy.start(gatehouse, folder);
  renameSync(join(folder, 'tls.pem'), join(folder, 'ours.pem'));
  const impostor = await TlsProxy.start(gatehouse, folder);
  for (const [behind, status] of [
    [front, 200],
    [impostor, 503],
  ] as const) {
    const proxy = await startNginx({ origin: `https://${behind.host.replace('localhost', '127.0.0.1')}` }, overTls);
    expect((await send(proxy.host, bearer(tokens.access_token))).status).toBe(status);
    expect(service.takeSeen()).toHaveLength(status === 200 ? 1 : 0);
    await proxy.program.kill('SIGTERM');
    behind.stop();
  }
  expect(front.connections).toBe(1);
});
