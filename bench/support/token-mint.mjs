// Stands in for Gatehouse where a verifier is measured: signs tokens as fast as they are needed, and answers what a verifier
// asks, by the contract in docs/integrate.md. A real one would have to be logged into for each token.
import { createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const KID = 'bench-key-bench-key-bench-key-bench-key-bench'.slice(0, 43);
const CURSOR = 'benchmrk.0';
const AUDIENCE = 'https://api.example.com';

/** Listens on a free port of this machine until `close`. */
export async function startMint() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const jwks = {
    keys: [{ ...createPublicKey(publicKey).export({ format: 'jwk' }), kid: KID, alg: 'ES256', use: 'sig' }],
  };

  const jws = (typ, payload, more = {}) => {
    const input = [{ alg: 'ES256', typ, kid: KID, ...more }, payload]
      .map((part) => encoded(JSON.stringify(part)))
      .join('.');
    return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url, issuer);
    if (url.pathname === '/.well-known/jwks.json') return answer(response, 'application/json', JSON.stringify(jwks));
    if (url.pathname !== '/oauth/revocations') return void response.writeHead(404).end();
    void feed(url.searchParams).then((page) => answer(response, 'application/jwt', page));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${server.address().port}`;

  /** Nothing was ever revoked: who is up to date waits for as long as it said. */
  async function feed(parameters) {
    const isUpToDate = parameters.get('since') === CURSOR;
    if (isUpToDate) await sleep(1000 * Number(parameters.get('wait') ?? 0), undefined, { ref: false });
    const payload = { issuer, cursor: CURSOR, as_of: seconds(), full: !isUpToDate, entries: [] };
    return jws('revocations+jwt', payload, isUpToDate ? { since: CURSOR } : {});
  }

  return {
    issuer,
    audience: AUDIENCE,
    jwks,
    makeToken: () => jws('at+jwt', claimsOf(issuer)),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function claimsOf(issuer) {
  const iat = seconds();
  const [sub, jti, sid] = [randomUUID(), randomUUID(), randomUUID()];
  return { iss: issuer, aud: AUDIENCE, sub, client_id: 'gatehouse', iat, exp: iat + 900, jti, sid, auth_time: iat };
}

function answer(response, type, body) {
  response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
}

const seconds = () => Math.floor(Date.now() / 1000);
const encoded = (text) => Buffer.from(text).toString('base64url');
