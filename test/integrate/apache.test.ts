import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Unavailable } from '../../src/common/domain-error.js';
import { RevocationLookup } from '../../src/tokens/revocation-lookup.js';
import { example } from '../support/examples.js';
import type { Gatehouse, Tokens } from '../support/gatehouse.js';
import { APACHE, APACHE_MODULES } from '../support/integration-tools.js';
import { freePort, type Program } from '../support/server-process.js';
import { makeService, type Service } from '../support/service-client.js';
import {
  bearer,
  claimsOf,
  ProtectedService,
  send,
  startExampleGatehouse,
  startProgram,
  stopPrograms,
  TlsProxy,
} from './support.js';

interface Apache {
  program: Program;
  host: string;
  /** What it has written to its error log. */
  log(): string;
}

const MODULES = [
  'mpm_event',
  'authn_core',
  'authz_core',
  'authz_user',
  'auth_openidc',
  'headers',
  'proxy',
  'proxy_http',
];

let gatehouse: Gatehouse;
let client: Service;
let service: ProtectedService;
let folder: string;
let tls: TlsProxy;
let apache: Apache;
let tokens: Tokens;
beforeAll(async () => {
  gatehouse = await startExampleGatehouse();
  client = await makeService(gatehouse);
  service = await ProtectedService.start();
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-apache-'));
  chmodSync(folder, 0o755); // Apache does not serve as root
  tls = await TlsProxy.start(gatehouse, folder);
  apache = await startApache(tls);
});
afterAll(async () => {
  await stopPrograms();
  service?.stop();
  tls?.stop();
  await gatehouse?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  tokens = await gatehouse.signUpAndLogIn();
  service.takeSeen();
});

/** The example, within what a packaged apache2.conf has around it. */
async function startApache({ host: gatehouseHost }: TlsProxy, change = (text: string) => text): Promise<Apache> {
  const host = `127.0.0.1:${await freePort()}`;
  const file = join(folder, `${host}.conf`);
  const errorLog = join(folder, `${host}.log`);
  writeFileSync(
    file,
    `${MODULES.map((name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`).join('\n')}
    ServerName 127.0.0.1
    Listen ${host}
    PidFile ${folder}/${host}.pid
    DefaultRuntimeDir ${folder}
    Mutex file:${folder}
    ErrorLog ${errorLog}
    LogLevel info
    OIDCCABundlePath ${folder}/tls.pem
    StartServers 1
    ${userInfo().uid === 0 ? 'User www-data\nGroup www-data' : ''}
    ${change(example('apache', { 'auth.example.com': gatehouseHost, '127.0.0.1:9000': service.host }))}`,
  );
  const env = { GATEHOUSE_CLIENT_ID: client.id, GATEHOUSE_CLIENT_SECRET: client.secret };
  const program = await startProgram(APACHE, ['-d', folder, '-f', file, '-DFOREGROUND'], host, { env });
  return { program, host, log: () => readFileSync(errorLog, 'utf8') };
}

/** Another Apache, for one test. */
async function withApache(
  proxy: TlsProxy,
  change: (text: string) => string,
  use: (host: string, apache: Apache) => Promise<void>,
): Promise<void> {
  const other = await startApache(proxy, change);
  await use(other.host, other).finally(() => other.program.kill('SIGTERM'));
}

const replacing = (from: string, to: string) => (text: string) => {
  expect(text).toContain(from);
  return text.replace(from, to);
};
const asItIs = (text: string) => text;
const statusAt = async (host: string, token: string) => (await send(host, bearer(token))).status;
const logOut = (token: string) => gatehouse.post('/auth/logout', undefined, { token });

// Proves ours (Checking tokens): behind Apache with introspection, the service is told by Gatehouse alone who asks
describe('a good token', () => {
  test('reaches the service, with whose it is and without the token', async () => {
    const { access_token: token } = tokens;
    const { sub, sid } = claimsOf(token);
    const options = { method: 'POST', path: '/orders?page=2', body: 'x'.repeat(100_000) };
    const answer = await send(apache.host, bearer(token), options);
    expect([answer.status, answer.text]).toEqual([200, 'the service']);
    const [seen] = service.takeSeen();
    expect(seen).toMatchObject(options);
    expect(seen?.headers).toMatchObject({ 'x-user-id': sub, 'x-session-id': sid });
    expect(JSON.stringify(seen)).not.toContain(token);
  });

  test('is not whose the client says', async () => {
    const { sub, sid } = claimsOf(tokens.access_token);
    const names = ['X-User-Id', 'X_User_Id', 'X-User_Id', 'X_User-Id', 'x-USER-id'];
    const spoofed = [
      ...names,
      ...names.map((name) => name.replace(/user/i, 'Session')),
      'OIDC_CLAIM_sub',
      'OIDC-CLAIM-sid',
    ];
    const headers = Object.fromEntries(spoofed.map((name) => [name, ['somebody', 'else']]));
    expect((await send(apache.host, { ...bearer(tokens.access_token), ...headers })).status).toBe(200);
    const [seen] = service.takeSeen();
    expect(seen?.headers).toMatchObject({ 'x-user-id': sub, 'x-session-id': sid });
    expect(JSON.stringify(seen)).not.toMatch(/somebody|else/);
  });

  test('is asked about each time, over a connection of its own', async () => {
    const before = tls.connections;
    for (let i = 0; i < 5; i++) expect(await statusAt(apache.host, tokens.access_token)).toBe(200);
    expect(tls.connections - before).toBe(5);
  });
});

test('without a token, or with one that is none, it is 401 with a challenge, and the service hears nothing', async () => {
  for (const headers of [{ 'X-User-Id': 'somebody' }, bearer('x'), bearer(`${tokens.access_token}x`)]) {
    const answer = await send(apache.host, headers);
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /);
  }
  expect(service.takeSeen()).toEqual([]);
});

test('a refresh token opens nothing, and without the line for that it would', async () => {
  const answer = await send(apache.host, bearer(tokens.refresh_token));
  expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer error="invalid_token"']);
  expect(service.takeSeen()).toEqual([]);
  const anyToken = replacing('Require claim token_type:Bearer', 'Require valid-user');
  await withApache(tls, anyToken, async (host) => expect(await statusAt(host, tokens.refresh_token)).toBe(200));
});

// Proves ours (Checking tokens): a proxy that asks Gatehouse refuses a token on the first request after its logout
test('a token is refused on the first request after its logout', async () => {
  for (let i = 0; i < 10; i++) {
    const { access_token: token } = await gatehouse.signUpAndLogIn();
    expect(await statusAt(apache.host, token)).toBe(200);
    expect((await logOut(token)).status).toBe(204);
    expect(await statusAt(apache.host, token)).toBe(401);
  }
});

// Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
test('its log has no token, which it would have with the default interval', async () => {
  await statusAt(apache.host, tokens.access_token);
  await statusAt(apache.host, tokens.refresh_token);
  for (const secret of [...gatehouse.secrets, client.secret]) expect(apache.log().includes(secret)).toBe(false);
  const byDefault = replacing('OIDCOAuthTokenIntrospectionInterval -1', '');
  await withApache(tls, byDefault, async (host, { log }) => {
    await statusAt(host, tokens.access_token);
    expect(log()).toContain(tokens.access_token);
  });
});

test('with an interval and a cache that works, a logout counts later, and the log has no token either', async () => {
  const cached = (text: string) =>
    `OIDCCacheEncrypt On\nOIDCCryptoPassphrase of-the-test\n${replacing('Interval -1', 'Interval 10')(text)}`;
  await withApache(tls, cached, async (host, { log }) => {
    expect(await statusAt(host, tokens.access_token)).toBe(200);
    await logOut(tokens.access_token);
    expect(await statusAt(host, tokens.access_token)).toBe(200);
    expect(log()).not.toContain(tokens.access_token);
  });
});

// Proves ASVS 16.5.3: where Gatehouse cannot be asked, a proxy that asks it lets nobody through
describe('when nobody can tell it is 401, and the service hears nothing:', () => {
  test('Gatehouse cannot ask its table', async () => {
    const error = new Unavailable('store_unavailable', 1);
    const lookup = vi.spyOn(gatehouse.app.get(RevocationLookup), 'isRevoked').mockRejectedValue(error);
    const answer = await send(apache.host, bearer(tokens.access_token));
    lookup.mockRestore();
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ]);
    expect(apache.log()).toContain('temporarily_unavailable');
    expect(service.takeSeen()).toEqual([]);
    expect(await statusAt(apache.host, tokens.access_token)).toBe(200);
  });

  test('Gatehouse is down, or what is in front of it', async () => {
    const other = await gatehouse.another();
    const front = await TlsProxy.start(other, folder);
    await withApache(front, asItIs, async (host, { log }) => {
      expect(await statusAt(host, tokens.access_token)).toBe(200);
      service.takeSeen();
      await other.stop();
      expect(await statusAt(host, tokens.access_token)).toBe(401);
      front.stop();
      expect(await statusAt(host, tokens.access_token)).toBe(401);
      expect(service.takeSeen()).toEqual([]);
      expect(log()).toContain('could not get a validation response');
    });
  });

  // Proves ASVS 12.3.2: the certificate of Gatehouse is checked by the programs of docs/integrate.md
  test('something else answers in its place', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'gatehouse-impostor-'));
    const impostor = await TlsProxy.start(gatehouse, elsewhere);
    rmSync(elsewhere, { recursive: true });
    await withApache(impostor, asItIs, async (host) => {
      expect(await statusAt(host, tokens.access_token)).toBe(401);
      expect(service.takeSeen()).toEqual([]);
    });
    impostor.stop();
  });
});
