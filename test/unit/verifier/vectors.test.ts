import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { applyPage, readEntry, readPage } from '../../../src/verifier/feed-page.js';
import { KeySet } from '../../../src/verifier/key-set.js';
import type { InvalidTokenReason } from '../../../src/verifier/result.js';
import { Revocations } from '../../../src/verifier/revocations.js';
import { judge } from '../../../src/verifier/token-check.js';

const FOLDER = 'src/verifier/vectors';

/** What is looked at before the signature, or instead of it, and after it. */
const FOR_SIGNATURE = ['algorithm', 'type', 'unknown_key', 'signature'];
const AFTER_SIGNATURE = ['claims', 'issuer', 'audience', 'lifetime', 'expired', 'not_yet_valid', 'revoked'];

interface Case {
  name: string;
  token: string;
  answer: string;
  clock: number;
  jwks?: { keys: JWK[] };
  entries?: unknown[];
  accept: boolean;
  claims?: Record<string, unknown>;
  payload?: Record<string, any>;
  reason?: InvalidTokenReason;
}

interface VectorFile {
  issuer: string;
  audience: string;
  jwks: { keys: JWK[] };
  vectors: Case[];
}

const load = (name: string) => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8')) as VectorFile;

/** What a verifier knows that has heard these entries. */
function knowledge(file: VectorFile, { jwks = file.jwks, entries = [], clock }: Case) {
  const keys = new KeySet();
  const revocations = new Revocations();
  keys.replace(jwks, clock);
  const page = {
    cursor: { epoch: 'epoch---', position: 1 },
    asOf: clock,
    isFull: true,
    entries: entries.map(readEntry),
  };
  applyPage(page, keys, revocations, clock);
  return { keys, revocations };
}

describe.each(['tokens', 'claims', 'revocations'])('%s.json', (name) => {
  const file = load(name);

  test.each(file.vectors)('$name', (one) => {
    const { keys, revocations } = knowledge(file, one);
    const outcome = judge(one.token, keys, revocations, file, one.clock);
    expect(outcome).toEqual(one.accept ? one.claims : one.reason);
  });

  // Somebody else's implementation of the same: what jose takes for a signed access token, and nothing else.
  test.each(file.vectors.filter(({ jwks }) => !jwks))('jose agrees: $name', async (one) => {
    const key = async ({ kid, typ }: { kid?: string; typ?: string }) => {
      const jwk = file.jwks.keys.find((candidate) => candidate.kid === kid);
      if (!jwk || typ !== 'at+jwt') throw new Error('no key');
      return (await importJWK(jwk, 'ES256')) as CryptoKey;
    };
    const isSigned = await compactVerify(one.token, key, { algorithms: ['ES256'] }).then(
      () => true,
      () => false,
    );
    // Before the signature jose is more lenient in the form, and more strict with members of the header that it knows.
    if (FOR_SIGNATURE.includes(one.reason ?? '')) expect(isSigned).toBe(false);
    else if (one.accept || AFTER_SIGNATURE.includes(one.reason ?? '')) expect(isSigned).toBe(true);
  });
});

describe('feed.json', () => {
  const file = load('feed');

  test.each(file.vectors)('$name', async (one) => {
    const { keys } = knowledge(file, one);
    const page = await readPage(one.answer, keys, file.issuer, one.clock).catch((error: Error) => error);
    if (!one.accept) {
      expect(page).toMatchObject({ reason: 'refused' });
      return;
    }
    const { cursor, as_of: asOf, full: isFull, entries } = one.payload as Record<string, any>;
    const [epoch, position] = cursor.split('.');
    expect(page).toEqual({
      cursor: { epoch, position: Number(position) },
      asOf,
      isFull,
      entries: entries.map(readEntry),
    });
  });
});

test('every reason that needs no network has a vector that is refused for it', () => {
  const reasons: Record<Exclude<InvalidTokenReason, 'inactive'>, true> = {
    malformed: true,
    algorithm: true,
    type: true,
    header: true,
    revoked_key: true,
    unknown_key: true,
    signature: true,
    claims: true,
    issuer: true,
    audience: true,
    lifetime: true,
    expired: true,
    not_yet_valid: true,
    revoked: true,
  };
  const seen = ['tokens', 'claims', 'revocations'].flatMap((name) =>
    load(name).vectors.flatMap((one) => one.reason ?? []),
  );
  expect([...new Set(seen)].sort()).toEqual(Object.keys(reasons).sort());
});

test('the signatures of what is accepted fit, by node:crypto and in DER', () => {
  for (const name of ['tokens', 'claims', 'revocations']) {
    const { jwks, vectors } = load(name);
    for (const { token, accept } of vectors.filter((one) => one.accept && !one.jwks)) {
      const [header, payload, signature] = token.split('.') as [string, string, string];
      const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
      const key = createPublicKey({ key: jwks.keys.find((jwk) => jwk.kid === kid) as JsonWebKey, format: 'jwk' });
      const isSigned = verify(
        'sha256',
        Buffer.from(`${header}.${payload}`),
        key,
        der(Buffer.from(signature, 'base64url')),
      );
      expect(isSigned).toBe(accept);
    }
  }
});

test('every file of vectors is run', () => {
  expect(readdirSync(FOLDER).sort()).toEqual([
    'README.md',
    'claims.json',
    'feed.json',
    'revocations.json',
    'tokens.json',
  ]);
});

/** R and S as ASN.1. */
function der(signature: Buffer): Buffer {
  const integer = (part: Buffer) => {
    const digits = Buffer.from(part.subarray(part.findIndex((octet) => octet !== 0)));
    const value = (digits[0] as number) >= 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits;
    return Buffer.concat([Buffer.from([0x02, value.length]), value]);
  };
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}
