import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { Clock } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import { InvalidConfig } from '../config/load-config.js';
import type { SigningKey } from './signing-key.entity.js';
import { SigningKeyRepository } from './signing-key.repository.js';

export const ALGORITHM = 'ES256';

/** How old the keys in memory may be when one is to sign or all are published, in milliseconds. */
const MAX_AGE_MS = 60_000;
/** An unknown kid makes us look again at most this often: forged kids are free, database queries are not. */
const COOLDOWN_MS = 1_000;

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

interface KeyRing {
  loadedAt: number;
  /** Of all rows, also of those that are not ours. */
  newest: SigningKey | undefined;
  byKid: Map<string, { row: SigningKey; publicKey: KeyObject; jwk: PublicJwk }>;
}

/**
 * The signing keys of all instances: they live in the database, private half sealed under the master key. The first
 * instance that needs one makes it.
 */
@Injectable()
export class SigningKeys implements OnApplicationBootstrap {
  private readonly logger = new Logger(SigningKeys.name);
  private ring: KeyRing | undefined;
  private loading: Promise<KeyRing> | undefined;
  private nextLoad: Promise<KeyRing> | undefined;
  private readonly privateKeys = new Map<string, KeyObject>();

  constructor(
    private readonly rows: SigningKeyRepository,
    private readonly masterKeys: MasterKeys,
    private readonly clock: Clock,
  ) {}

  /**
   * Refuses to start on a database whose signing key the master key does not open: every login would fail, and sign-ups
   * would be sealed under the wrong key. A database that is not migrated, or not there, says nothing about that yet.
   */
  async onApplicationBootstrap(): Promise<void> {
    let ring: KeyRing;
    try {
      ring = await this.load();
    } catch {
      return;
    }
    if (ring.newest) this.open(ring.newest);
  }

  /**
   * The key to sign with now: the newest that is active.
   *
   * @throws InvalidConfig when no configured master key opens it: an operator's mistake, and no reason to make another.
   */
  async signingKey(): Promise<{ kid: string; privateKey: KeyObject }> {
    const ring = await this.fresh();
    const now = this.clock.now();
    const active = [...ring.byKid.values()]
      .filter(({ row }) => row.activatesAt <= now && (row.retiresAt === null || row.retiresAt > now))
      .at(-1);
    if (!active) throw new Error('no signing key is active');
    return { kid: active.row.kid, privateKey: this.open(active.row) };
  }

  /** The public key of `kid`, or undefined when no published key has it. Looks into the database for a new one. */
  async publicKey(kid: string): Promise<KeyObject | undefined> {
    const ring = this.ring ?? (await this.load());
    const known = ring.byKid.get(kid);
    if (known) return known.publicKey;
    const isRecent = this.clock.now().getTime() - ring.loadedAt < COOLDOWN_MS;
    if (isRecent && ring.byKid.size > 0) return undefined;
    return (await this.load()).byKid.get(kid)?.publicKey;
  }

  /** Whether tokens of this key are still accepted, as far as this instance knows without asking. */
  isKnown(kid: string): boolean {
    return this.ring?.byKid.has(kid) ?? false;
  }

  /** Every published key, for the JWKS. */
  async published(): Promise<PublicJwk[]> {
    return [...(await this.fresh()).byKid.values()].map(({ jwk }) => jwk);
  }

  private async fresh(): Promise<KeyRing> {
    const age = this.ring ? this.clock.now().getTime() - this.ring.loadedAt : Infinity;
    if (this.ring && this.ring.byKid.size > 0 && age < MAX_AGE_MS) return this.ring;
    const ring = await this.load();
    if (ring.byKid.size > 0) return ring;
    if (ring.newest) this.open(ring.newest);
    await this.rows.addUnlessTaken(this.generate(1));
    return this.load();
  }

  /**
   * The keys as of a moment after this call. One load at a time; who asks meanwhile shares the next one, not this one, which
   * may have started before the key that is looked for was there.
   */
  private load(): Promise<KeyRing> {
    const start = () => {
      this.nextLoad = undefined;
      this.loading = this.read().finally(() => (this.loading = undefined));
      return this.loading;
    };
    if (!this.loading) return start();
    this.nextLoad ??= this.loading.then(start, start);
    return this.nextLoad;
  }

  private async read(): Promise<KeyRing> {
    const now = this.clock.now();
    const rows = await this.rows.findPublished(now);
    const byKid: KeyRing['byKid'] = new Map();
    for (const row of rows) {
      const jwk = this.publicHalf(row);
      // Of the newest one whoever needs it says so.
      if (!jwk && row !== rows.at(-1)) this.logger.error({ event: 'signing_key_refused', kid: row.kid });
      if (!jwk) continue;
      byKid.set(row.kid, {
        row,
        jwk,
        publicKey: createPublicKey({ key: jwk as unknown as JsonWebKey, format: 'jwk' }),
      });
    }
    this.ring = { loadedAt: now.getTime(), newest: rows.at(-1), byKid };
    return this.ring;
  }

  /**
   * The public half of a key, made of the private one: whoever can write into the table cannot seal, so a key of their own
   * opens nothing. Undefined for a row that we did not make, or that no master key opens.
   */
  private publicHalf(row: SigningKey): PublicJwk | undefined {
    try {
      const { x, y } = createPublicKey(this.open(row)).export({ format: 'jwk' }) as { x: string; y: string };
      const isOurs = thumbprint({ crv: 'P-256', kty: 'EC', x, y }) === row.kid;
      return isOurs ? { kty: 'EC', crv: 'P-256', x, y, kid: row.kid, alg: ALGORITHM, use: 'sig' } : undefined;
    } catch {
      return undefined;
    }
  }

  private open(row: SigningKey): KeyObject {
    const known = this.privateKeys.get(row.kid);
    if (known) return known;
    const pem = this.masterKeys.open('signing-key-encryption', row.privateKey, row.kid);
    if (pem === undefined) {
      throw new InvalidConfig([
        'MASTER_KEY opens no signing key of this database: another one was in use when it was made',
      ]);
    }
    const privateKey = createPrivateKey(pem);
    this.privateKeys.set(row.kid, privateKey);
    return privateKey;
  }

  private generate(number: number): SigningKey {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
    const kid = thumbprint({ crv: 'P-256', kty: 'EC', x, y });
    const jwk: PublicJwk = { kty: 'EC', crv: 'P-256', x, y, kid, alg: ALGORITHM, use: 'sig' };
    const now = this.clock.now();
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    return {
      kid,
      number,
      algorithm: ALGORITHM,
      publicJwk: JSON.stringify(jwk),
      privateKey: this.masterKeys.seal('signing-key-encryption', pem, kid),
      createdAt: now,
      activatesAt: now,
      retiresAt: null,
      expiresAt: null,
      revokedAt: null,
    };
  }
}

/** RFC 7638, section 3: SHA-256 over the required members in lexicographic order, without white space, base64url. */
export function thumbprint({ crv, kty, x, y }: { crv: string; kty: string; x: string; y: string }): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}
