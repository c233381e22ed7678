import { Injectable } from '@nestjs/common';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { MasterKeys, type Resealed } from '../common/master-keys.js';
import type { SigningKey } from './signing-key.entity.js';

export const ALGORITHM = 'ES256';
const PURPOSE = 'signing-key-encryption';

/** A public key as the JWKS shows it (RFC 7517, section 4). */
export interface PublicJwk {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
  kid: string;
  alg: typeof ALGORITHM;
  use: 'sig';
}

/** A signing key, opened. */
export interface KeyPair {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
  jwk: PublicJwk;
}

/** Makes signing keys and opens them: the private half is in the database under the master key alone. */
@Injectable()
export class KeyVault {
  private readonly opened = new Map<string, KeyPair>();

  constructor(private readonly masterKeys: MasterKeys) {}

  /** A new key that signs from `activatesAt` on. */
  generate(number: number, now: Date, activatesAt: Date): SigningKey {
    // Encoded, not as KeyObjects: on Node 20, if garbage is collected while such a one is exported as a JWK, what has generated it
    // is destroyed and waits for the lock that the export holds, in the same thread: the process stands still for ever.
    const { publicKey, privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    const jwk = jwkOf(createPublicKey({ key: publicKey, type: 'spki', format: 'der' }));
    // An operator types it behind a command, which would take it for an option.
    if (jwk.kid.startsWith('-')) return this.generate(number, now, activatesAt);
    return {
      kid: jwk.kid,
      number,
      algorithm: ALGORITHM,
      publicJwk: JSON.stringify(jwk),
      privateKey: this.masterKeys.seal(PURPOSE, privateKey, jwk.kid),
      createdAt: now,
      activatesAt,
      revokedAt: null,
    };
  }

  /**
   * Both halves of a key; undefined for a row that we did not make, or that no master key opens. The public one is made of
   * the private one: whoever can write into the table cannot seal, so a key of their own opens nothing.
   */
  open({ kid, privateKey: sealed }: Pick<SigningKey, 'kid' | 'privateKey'>): KeyPair | undefined {
    const known = this.opened.get(kid);
    if (known) return known;
    const pem = this.masterKeys.open(PURPOSE, sealed, kid);
    if (pem === undefined) return undefined;
    const privateKey = createPrivateKey(pem);
    const jwk = jwkOf(createPublicKey(privateKey));
    if (jwk.kid !== kid) return undefined;
    const publicKey = createPublicKey({ key: jwk as unknown as JsonWebKey, format: 'jwk' });
    const pair = { kid, privateKey, publicKey, jwk };
    this.opened.set(kid, pair);
    return pair;
  }

  /** Whether another installation of the service made this row, or this one under a master key that was taken out since. */
  isOfOtherMasterKey({ privateKey }: Pick<SigningKey, 'privateKey'>): boolean {
    return !this.masterKeys.isKnown(privateKey);
  }

  /** The private half under the newest master key, or why there is no need or no way. */
  reseal({ kid, privateKey }: Pick<SigningKey, 'kid' | 'privateKey'>): Resealed {
    return this.masterKeys.reseal(PURPOSE, privateKey, kid);
  }
}

function jwkOf(publicKey: KeyObject): PublicJwk {
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
  const kid = thumbprint({ crv: 'P-256', kty: 'EC', x, y });
  return { kty: 'EC', crv: 'P-256', x, y, kid, alg: ALGORITHM, use: 'sig' };
}

/** RFC 7638, section 3: SHA-256 over the required members in lexicographic order, without white space, base64url. */
export function thumbprint({ crv, kty, x, y }: { crv: string; kty: string; x: string; y: string }): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}
