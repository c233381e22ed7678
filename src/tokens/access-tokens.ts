import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { LRUCache } from 'lru-cache';
import { v7 as uuidv7 } from 'uuid';
import { Clock, epochSeconds } from '../common/clock.js';
import { InvalidToken } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { MAX_TOKEN_LIFE_SECONDS } from './key-life.js';
import { ALGORITHM } from './key-vault.js';
import { SigningKeys } from './signing-keys.js';

/** RFC 9068, section 2.1. */
const TYPE = 'at+jwt';
/** RFC 9068 wants a client; there is one so far: the company's own front end. */
export const CLIENT_ID = 'first-party';
const MAX_TOKEN_OCTETS = 4096;
/** A clock of another instance may be ahead by this much: applies to `iat` and `nbf`. An expired token is expired. */
const CLOCK_SKEW_SECONDS = 5;
const REMEMBERED_TOKENS = 10_000;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const KID = /^[\w-]{1,64}$/;

/** The claims of an access token (RFC 9068, section 2.2), and `sid`, ours: the session it belongs to. */
export interface AccessTokenClaims {
  iss: string;
  aud: string;
  sub: string;
  client_id: string;
  /** Seconds since the epoch, as are `exp` and `auth_time`. */
  iat: number;
  exp: number;
  jti: string;
  sid: string;
  auth_time: number;
}

/** The claims of a token whose signature is good, and beside them, so that nobody hands it on with them, the key it is of. */
export interface VerifiedClaims extends AccessTokenClaims {
  /** Not enumerable. */
  readonly kid: string;
}

const STRINGS = ['iss', 'aud', 'sub', 'client_id', 'jti', 'sid'] as const;
const TIMES = ['iat', 'exp', 'auth_time'] as const;

/** What a new access token is for. */
export interface AccessTokenSubject {
  userId: string;
  sessionId: string;
  authenticatedAt: Date;
  issuedAt: Date;
  expiresAt: Date;
}

/** Signs access tokens and checks them, all but revocation. */
@Injectable()
export class AccessTokens {
  /**
   * Tokens whose signature has been verified, by that signature, because a short key is found sooner; good for the exact token
   * alone. Never an answer to "is it revoked".
   */
  private readonly verified = new LRUCache<string, { token: string; claims: VerifiedClaims }>({
    max: REMEMBERED_TOKENS,
  });

  constructor(
    private readonly config: Config,
    private readonly jwt: JwtService,
    private readonly keys: SigningKeys,
    private readonly clock: Clock,
  ) {}

  /** A signed token. Its life ends at `expiresAt`, rounded down to the second. */
  async sign({ userId, sessionId, authenticatedAt, issuedAt, expiresAt }: AccessTokenSubject): Promise<string> {
    const { kid, privateKey } = await this.keys.signingKey();
    const claims: AccessTokenClaims = {
      iss: this.config.issuer,
      aud: this.config.audience,
      sub: userId,
      client_id: CLIENT_ID,
      iat: epochSeconds(issuedAt),
      exp: epochSeconds(expiresAt),
      jti: uuidv7(),
      sid: sessionId,
      auth_time: epochSeconds(authenticatedAt),
    };
    return this.jwt.sign(claims, {
      privateKey: privateKey as never,
      algorithm: ALGORITHM,
      header: { alg: ALGORITHM, typ: TYPE, kid },
    });
  }

  /**
   * The claims of a token that is ours, for us, and in its time. Synchronous but for an unknown kid: WebCrypto would share
   * libuv's threads with everything else, and checks would wait for them.
   *
   * Requirements: RFC 9068 section 4, RFC 8725 sections 3.1 to 3.11, ASVS 9.1 and 9.2.
   *
   * @throws InvalidToken with a `detail` for the log; the database's error when an unknown kid cannot be looked up.
   */
  async verify(token: string): Promise<VerifiedClaims> {
    const claims = await this.check(token);
    if (claims.exp <= epochSeconds(this.clock.now())) throw new InvalidToken('expired');
    return claims;
  }

  /**
   * Like `verify`, for a token that may have expired or belong to a revoked session: enough to end that session, never to
   * enter. A revoked key is refused here, for want of a lookup.
   */
  async authenticate(token: string): Promise<VerifiedClaims> {
    await this.keys.refresh();
    return this.check(token);
  }

  /** What `verify` would answer for a token that it has seen before and that is good still; undefined for every other. */
  recall(token: string): VerifiedClaims | undefined {
    const claims = this.remembered(token);
    return claims && claims.exp > epochSeconds(this.clock.now()) ? claims : undefined;
  }

  private remembered(token: string): VerifiedClaims | undefined {
    const known = this.verified.get(signatureOf(token));
    return known?.token === token && this.keys.isKnown(known.claims.kid) ? known.claims : undefined;
  }

  private async check(token: string): Promise<VerifiedClaims> {
    const remembered = this.remembered(token);
    if (remembered) return remembered;

    if (token.length > MAX_TOKEN_OCTETS || !COMPACT_JWS.test(token)) throw new InvalidToken('not_a_token');
    const parts = token.split('.').map((part) => ({ part, bytes: Buffer.from(part, 'base64url') }));
    if (parts.some(({ part, bytes }) => bytes.toString('base64url') !== part)) throw new InvalidToken('not_canonical');
    const header = parseJson(parts[0]?.bytes) as Record<string, unknown>;
    if (Object.keys(header).sort().join() !== 'alg,kid,typ') throw new InvalidToken('header_members');
    if (header['alg'] !== ALGORITHM) throw new InvalidToken('algorithm');
    if (header['typ'] !== TYPE) throw new InvalidToken('type');
    if (typeof header['kid'] !== 'string' || !KID.test(header['kid'])) throw new InvalidToken('kid');
    const publicKey = await this.keys.publicKey(header['kid']);
    if (!publicKey) throw new InvalidToken('unknown_kid');

    let claims: AccessTokenClaims;
    try {
      claims = this.jwt.verify<AccessTokenClaims>(token, {
        publicKey: publicKey as never,
        algorithms: [ALGORITHM],
        issuer: this.config.issuer,
        audience: this.config.audience,
        ignoreExpiration: true, // ours to check, at every use and not only at the first
        clockTimestamp: epochSeconds(this.clock.now()),
        clockTolerance: CLOCK_SKEW_SECONDS,
      });
    } catch {
      throw new InvalidToken('signature_or_claims');
    }
    this.checkClaims(claims);
    const verified = Object.defineProperty(claims, 'kid', { value: header['kid'] }) as VerifiedClaims;
    this.verified.set(signatureOf(token), { token, claims: verified });
    return verified;
  }

  private checkClaims(claims: AccessTokenClaims): void {
    const missing =
      STRINGS.some((name) => typeof claims[name] !== 'string') ||
      TIMES.some((name) => !Number.isSafeInteger(claims[name]));
    if (missing) throw new InvalidToken('claims_missing');
    if (claims.iat > epochSeconds(this.clock.now()) + CLOCK_SKEW_SECONDS)
      throw new InvalidToken('issued_in_the_future');
    if (claims.exp - claims.iat > MAX_TOKEN_LIFE_SECONDS) throw new InvalidToken('lives_too_long');
  }
}

function signatureOf(token: string): string {
  return token.slice(token.lastIndexOf('.') + 1);
}

function parseJson(bytes: Buffer | undefined): unknown {
  try {
    return Object(JSON.parse(bytes?.toString('utf8') ?? ''));
  } catch {
    throw new InvalidToken('header_not_json');
  }
}
