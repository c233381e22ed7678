import { createPublicKey, type KeyObject } from 'node:crypto';
import { decode } from './compact-jws.js';

const KID = /^[\w-]{1,64}$/;
const COORDINATE_OCTETS = 32;
const MAX_KEYS = 100;

/** A public key for ES256. */
export interface VerificationKey {
  kid: string;
  x: string;
  y: string;
  publicKey: KeyObject;
}

/** Whether a `kid` may name a key: it is looked up, and must be fit for nothing else. */
export function isKid(kid: unknown): kid is string {
  return typeof kid === 'string' && KID.test(kid);
}

/** The keys that count now: those of the JWKS, without those that the feed has called compromised. */
export class KeySet {
  private keys = new Map<string, VerificationKey>();
  private listed = new Set<string>();
  /** Compromised keys, and when their entries expire, in seconds since the epoch. */
  private readonly revoked = new Map<string, number>();

  get isEmpty(): boolean {
    return this.keys.size === 0;
  }

  get(kid: string): VerificationKey | undefined {
    return this.keys.get(kid);
  }

  isRevoked(kid: string): boolean {
    return this.revoked.has(kid);
  }

  /**
   * Replaces all keys by those of a JWKS (RFC 7517, section 5). Members that are not P-256 signing keys are passed over.
   *
   * @throws Error when it is not a JWKS or has no key for us: what was there stays then.
   */
  replace(jwks: unknown, nowSeconds: number): void {
    const members = (jwks as { keys?: unknown } | null)?.keys;
    if (!Array.isArray(members)) throw new Error('the JWKS has no keys');
    const found = members.slice(0, MAX_KEYS).flatMap((jwk) => this.read(jwk) ?? []);
    if (found.length === 0) throw new Error('the JWKS has no P-256 signing key');
    this.listed = new Set(found.map(({ kid }) => kid));
    for (const [kid, expiresAt] of this.revoked) {
      if (expiresAt < nowSeconds && !this.listed.has(kid)) this.revoked.delete(kid);
    }
    this.keys = new Map(found.filter(({ kid }) => !this.revoked.has(kid)).map((key) => [key.kid, key]));
  }

  /** Drops a key, at once and for as long as the JWKS lists it. Whether that is news. */
  revoke(kid: string, expiresAt: number): boolean {
    const isNew = !this.revoked.has(kid);
    this.revoked.set(kid, Math.max(expiresAt, this.revoked.get(kid) ?? 0));
    this.keys.delete(kid);
    return isNew;
  }

  /** Forgets compromised keys that neither the feed names any more nor the JWKS lists. */
  keepRevoked(named: Set<string>): void {
    for (const kid of this.revoked.keys()) {
      if (!named.has(kid) && !this.listed.has(kid)) this.revoked.delete(kid);
    }
  }

  private read(jwk: unknown): VerificationKey | undefined {
    const { kty, crv, x, y, kid, alg = 'ES256', use = 'sig' } = Object(jwk) as Record<string, unknown>;
    if (kty !== 'EC' || crv !== 'P-256' || alg !== 'ES256' || use !== 'sig' || !isKid(kid)) return undefined;
    if (!isCoordinate(x) || !isCoordinate(y)) return undefined;
    const known = this.keys.get(kid);
    if (known?.x === x && known.y === y) return known; // the same object: what it has verified stays remembered
    try {
      return { kid, x, y, publicKey: createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' }) };
    } catch {
      return undefined; // not a point of the curve
    }
  }
}

function isCoordinate(value: unknown): value is string {
  return typeof value === 'string' && decode(value)?.length === COORDINATE_OCTETS;
}
