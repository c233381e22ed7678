import { createPublicKey, createVerify, sign, type JsonWebKey } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Unavailable } from '../../src/common/domain-error.js';
import { thumbprint } from '../../src/tokens/key-vault.js';
import { SigningKeys } from '../../src/tokens/signing-keys.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { keyPair } from '../support/key-pair.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

// Proves ASVS 11.2.3, ASVS Appendix C, RFC 7638, RFC 7517: the key set: P-256 keys for ES256, named by their thumbprints, and the public half alone
// Proves ASVS 3.4.2: no other origin reads an answer, except for the public keys
test('publishes the public keys alone, cacheable for five minutes, to everybody', async () => {
  const { status, headers, body } = await gatehouse.get('/.well-known/jwks.json');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^application\/jwk-set\+json/);
  expect(headers.get('cache-control')).toBe('public, max-age=300');
  expect(headers.get('access-control-allow-origin')).toBe('*');
  expect(body.keys, 'the one that signs, and the next one').toHaveLength(2);
  for (const key of body.keys) {
    expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    expect(key).toMatchObject({ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' });
    expect(key.kid).toBe(thumbprint(key));
  }
});

test('anybody can check a token with nothing but the key set', async () => {
  const { access_token } = await gatehouse.signUpAndLogIn();
  const [head, payload, signature] = access_token.split('.') as [string, string, string];
  const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString());
  const { body } = await gatehouse.get('/.well-known/jwks.json');
  const jwk = body.keys.find((key: { kid: string }) => key.kid === kid) as JsonWebKey;
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const verifies = createVerify('sha256')
    .update(`${head}.${payload}`)
    .verify({ key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  expect(verifies).toBe(true);
});

// Proves PCI 8.3.2, 63B-4 §3.1.1.2(storage): a stolen database has no hash to guess against, no token and no key
test('the private half is in the database only under the master key', async () => {
  await gatehouse.get('/.well-known/jwks.json');
  const [row] = await gatehouse.sql('SELECT * FROM signing_keys WHERE number = 1');
  expect(row.private_key).toMatch(/^[0-9a-f]{8}\.[\w-]+$/);
  expect(Buffer.from(row.private_key.split('.')[1], 'base64url').toString('latin1')).not.toContain('PRIVATE KEY');
});

// Proves ours (Issuing tokens): whoever can write into the database makes no key that is accepted
test('a key that somebody has written into the table is none', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  const { publicKey, privateKey } = keyPair();
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
  const kid = thumbprint({ crv: 'P-256', kty: 'EC', x, y });
  const jwk = JSON.stringify({ kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' });
  await gatehouse.sql(
    `INSERT INTO signing_keys (kid, number, algorithm, public_jwk, private_key, created_at, activates_at)
     SELECT ?, 0, algorithm, ?, private_key, created_at, activates_at FROM signing_keys WHERE number = 1`,
    [kid, jwk],
  );
  const payload = token.split('.')[1];
  const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid })).toString('base64url');
  const signature = sign('sha256', Buffer.from(`${header}.${payload}`), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const forged = `${header}.${payload}.${signature.toString('base64url')}`;

  const other = await gatehouse.another(); // which reads the keys anew
  const { body } = await other.get('/.well-known/jwks.json');
  expect(body.keys.map((key: { kid: string }) => key.kid)).not.toContain(kid);
  expect((await other.get('/users/me', { token: forged })).status).toBe(401);
  expect((await other.get('/users/me', { token })).status).toBe(200);
  await other.stop();
  await gatehouse.sql('DELETE FROM signing_keys WHERE kid = ?', [kid]);
});

test('an error is not cacheable', async () => {
  const keys = gatehouse.app.get(SigningKeys);
  const published = keys.published;
  keys.published = () => Promise.reject(new Unavailable('test', 1));
  const { status, headers } = await gatehouse.get('/.well-known/jwks.json');
  keys.published = published;
  expect([status, headers.get('cache-control')]).toEqual([503, 'no-store']);
});

test('a master key that does not open the signing key: the service does not start, and makes no other key', async () => {
  await gatehouse.signUpAndLogIn();
  const stranger = gatehouse.another({
    MASTER_KEY: Buffer.from('0123456789abcdef0123456789ABCDE\xff', 'latin1').toString('base64'),
  });
  await expect(stranger).rejects.toThrow(/MASTER_KEY opens no signing key/);
  expect(await gatehouse.sql('SELECT kid FROM signing_keys')).toHaveLength(2);
});
