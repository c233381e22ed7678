/** What an access token says (RFC 9068, section 2.2), and `sid`, the session it belongs to. Frozen. */
export interface AccessTokenClaims {
  readonly iss: string;
  readonly aud: string;
  /** The user. */
  readonly sub: string;
  readonly client_id: string;
  /** Seconds since the epoch, as are `exp` and `auth_time`. */
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly sid: string;
  readonly auth_time: number;
  readonly [claim: string]: unknown;
}

/**
 * The token is no good, whoever asks. Where more than one is true, the first in this order is given.
 *
 * - `malformed`: not three parts of canonical base64url, more than 4096 octets, or a header that is not a JSON object
 * - `algorithm`: `alg` is not `ES256`
 * - `type`: `typ` is not `at+jwt`
 * - `header`: members other than `alg`, `typ`, `kid`, or a `kid` that is not 1 to 64 characters of base64url's alphabet
 * - `revoked_key`: the feed says that the key is compromised
 * - `unknown_key`: the JWKS has no such key
 * - `signature`: it does not fit
 * - `claims`: a claim is missing or of another type
 * - `issuer`, `audience`: another one than ours
 * - `lifetime`: more than 900 s from `iat` to `exp`
 * - `expired`: the second that `exp` names has begun, by our clock or by the newest answer of the feed
 * - `not_yet_valid`: `iat` or `nbf` is more than 5 s ahead
 * - `revoked`: the feed has its session, or its user with a later `not_before`
 * - `inactive`: introspection says so
 */
export type InvalidTokenReason =
  | 'malformed'
  | 'algorithm'
  | 'type'
  | 'header'
  | 'revoked_key'
  | 'unknown_key'
  | 'signature'
  | 'claims'
  | 'issuer'
  | 'audience'
  | 'lifetime'
  | 'expired'
  | 'not_yet_valid'
  | 'revoked'
  | 'inactive';

/**
 * Nobody can tell now; the same token may be good in a moment.
 *
 * - `not_ready`: there has been no first sync, or none since the feed went back; the verifier is closed; `clock` is no clock
 * - `stale`: what we know of revocations may be `maxStalenessMs` old, or older
 * - `behind`: what `minCursor` names was not reached in time
 * - `unavailable`: introspection failed
 */
export type UnavailableReason = 'not_ready' | 'stale' | 'behind' | 'unavailable';

/** Why a token was refused. `malformed_cursor`: `minCursor` is not a cursor. */
export type RefusalReason = InvalidTokenReason | UnavailableReason | 'malformed_cursor';

export type VerifyResult =
  | {
      ok: true;
      claims: AccessTokenClaims;
      /** How old what we know of revocations may be, at most, in milliseconds. */
      stalenessMs: number;
    }
  | { ok: false; reason: RefusalReason };
