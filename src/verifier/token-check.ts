import { verify } from 'node:crypto';
import { parseCompact, parseObject } from './compact-jws.js';
import { isKid, type KeySet, type VerificationKey } from './key-set.js';
import type { AccessTokenClaims, InvalidTokenReason } from './result.js';
import type { Revocations } from './revocations.js';

const MAX_TOKEN_OCTETS = 4096;
/** Gatehouse's clock may be ahead of ours by this much: applies to `iat` and `nbf`. An expired token is expired. */
const CLOCK_SKEW_SECONDS = 5;
const MAX_LIFE_SECONDS = 900;
const STRINGS = ['iss', 'aud', 'sub', 'client_id', 'jti', 'sid'];
const TIMES = ['iat', 'exp', 'auth_time'];

/** Whose tokens, and for whom. */
export interface Expected {
  issuer: string;
  audience: string;
}

/** A token that Gatehouse has signed for us. Says nothing about time and revocation. */
export interface AuthenticToken {
  key: VerificationKey;
  claims: AccessTokenClaims;
}

/** Seconds since the epoch. */
export interface Now {
  own: number;
  /** By the feed's answers so far: what had expired by then, they have left out. */
  server: number;
}

/**
 * What does not change with time: form, header, signature, claims. Requirements, of `problemNow` too: RFC 9068 section 4,
 * RFC 8725 sections 3.1 to 3.11.
 */
export function authenticate(token: string, keys: KeySet, expected: Expected): AuthenticToken | InvalidTokenReason {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_OCTETS) return 'malformed';
  const jws = parseCompact(token);
  if (!jws) return 'malformed';
  const { alg, typ, kid, ...others } = jws.header;
  if (alg !== 'ES256') return 'algorithm';
  if (typ !== 'at+jwt') return 'type';
  if (Object.keys(others).length > 0 || !isKid(kid)) return 'header';
  const key = keys.get(kid);
  if (!key) return keys.isRevoked(kid) ? 'revoked_key' : 'unknown_key';
  // Synchronous: WebCrypto would wait for libuv's four threads, which everything else shares.
  const verifying = { key: key.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  if (!verify('sha256', jws.input, verifying, jws.signature)) return 'signature';
  const claims = parseObject(jws.payload);
  if (!claims || !isComplete(claims)) return 'claims';
  if (claims.iss !== expected.issuer) return 'issuer';
  if (claims.aud !== expected.audience) return 'audience';
  if (claims.exp - claims.iat > MAX_LIFE_SECONDS) return 'lifetime';
  return { key, claims: frozen(claims) };
}

/** What does: asked at every use. Undefined when nothing is wrong. */
export function problemNow(
  { key, claims }: AuthenticToken,
  keys: KeySet,
  revocations: Revocations,
  { own, server }: Now,
): InvalidTokenReason | undefined {
  if (keys.get(key.kid) !== key) return keys.isRevoked(key.kid) ? 'revoked_key' : 'unknown_key';
  if (claims.exp <= Math.max(own, server)) return 'expired';
  const latest = own + CLOCK_SKEW_SECONDS;
  if (claims.iat > latest || ((claims['nbf'] as number | undefined) ?? 0) > latest) return 'not_yet_valid';
  if (revocations.has(claims, own)) return 'revoked';
  return undefined;
}

function isComplete(claims: Record<string, unknown>): claims is AccessTokenClaims & Record<string, unknown> {
  return (
    STRINGS.every((name) => typeof claims[name] === 'string') &&
    TIMES.every((name) => Number.isSafeInteger(claims[name])) &&
    (claims['nbf'] === undefined || Number.isSafeInteger(claims['nbf']))
  );
}

/** A caller gets the claims that are remembered: what one changes, the next would see. */
function frozen<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) frozen(member as object);
  }
  return Object.freeze(value);
}
