import { afterAll, beforeAll, expect, test } from 'vitest';
import { Config } from '../../src/config/config.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

const PATH = '/.well-known/oauth-authorization-server';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves RFC 8414 §2: the metadata name the issuer as the tokens do, and everything a service calls
test('the issuer is that of the tokens, and every address works', async () => {
  const { status, headers, body } = await gatehouse.get(PATH);
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  expect(headers.get('cache-control')).toBe('public, max-age=300');
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const { iss } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
  expect(body.issuer).toBe(iss);
  expect(body.response_types_supported).toEqual([]);
  expect(body.grant_types_supported).toEqual([]);
  expect(body).not.toHaveProperty('token_endpoint');
  const addresses = Object.entries(body as Record<string, string>).filter(([name]) => /_(endpoint|uri)$/.test(name));
  expect(addresses.map(([name]) => name).sort()).toEqual([
    'introspection_endpoint',
    'jwks_uri',
    'revocation_endpoint',
    'revocation_feed_endpoint',
  ]);
  for (const [name, address] of addresses) {
    const path = address.replace(gatehouse.app.get(Config).publicUrl, '');
    const method = /introspection|revocation_endpoint/.test(name) ? 'POST' : 'GET';
    expect((await gatehouse.request(method, path)).status, name).toBe(name === 'jwks_uri' ? 200 : 401);
  }
  expect((await gatehouse.get(`${PATH}/tenant`)).status).toBe(404);
});

// Proves RFC 8414 §3: the metadata of an issuer with a path are behind that path, and nowhere else
test('of an issuer with a path is behind that path', async () => {
  const issuer = 'https://id.example/tenant/one';
  const other = await gatehouse.another({ ISSUER: issuer });
  expect((await other.get(`${PATH}/tenant/one`)).body.issuer).toBe(issuer);
  for (const path of [PATH, `${PATH}/tenant`, `${PATH}/tenant/one/more`])
    expect((await other.get(path)).status).toBe(404);
  await other.stop();
});
