import { Injectable, Logger } from '@nestjs/common';
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackgroundLoop } from '../common/background-loop.js';
import { Clock, secondsSince } from '../common/clock.js';
import { Coalesced } from '../common/coalesced.js';
import { Metrics } from '../metrics/metrics.js';
import { activeOf, KeyRotation, refuse, type HeldKey, type Keys } from './key-rotation.js';
import type { PublicJwk } from './key-vault.js';

/** How old the keys that tokens are checked with may become without anybody signing or asking for them. */
const INTERVAL_MS = 60_000;
/** Unknown kids have us look again at most this often: forged kids are free, database queries are not. */
const COOLDOWN_MS = 500;

interface KeyRing {
  /** By the monotonic clock, in milliseconds. */
  loadedAt: number;
  keys: Keys;
  byKid: Map<string, HeldKey>;
}

/**
 * The signing keys of all instances: they live in the database, private half sealed under the master key. Whoever signs, and
 * whoever is told the public keys, gets them as they are now; tokens are checked with those in memory, and whether a key was
 * revoked is asked with each token (`revocation-lookup.ts`).
 */
@Injectable()
export class SigningKeys {
  /** Does what is due when nobody logs in, and deletes what is long gone. */
  readonly loop = new BackgroundLoop('signing_keys', INTERVAL_MS, async () => {
    await this.current();
    await this.rotation.purge();
  });
  private readonly logger = new Logger(SigningKeys.name);
  private ring: KeyRing | undefined;
  private readonly loads = new Coalesced(async () => this.hold(await this.rotation.read()));
  private readonly upkeep = new Coalesced(async () => this.hold(await this.rotation.keep()));
  private searching: Promise<KeyRing> | undefined;

  constructor(
    private readonly rotation: KeyRotation,
    private readonly clock: Clock,
    metrics: Metrics,
  ) {
    metrics.gauge('signing_key_age_seconds', 'For how long the key that signs has done so.', () => {
      const active = this.ring && activeOf(this.ring.keys);
      return active && secondsSince(active.row.activatesAt, this.clock.now());
    });
  }

  /**
   * Refuses a master key that does not open what others of this service have sealed: every login would fail, and sign-ups would
   * be sealed under the wrong key. A database that is not migrated, or not there, says nothing about that yet.
   *
   * @throws InvalidConfig
   */
  async refuseOtherMasterKey(): Promise<void> {
    let ring: KeyRing;
    try {
      ring = await this.loads.run();
    } catch {
      return;
    }
    if (ring.keys.isLedByOthers || this.rotation.needsOtherMasterKey(ring.keys)) refuse();
  }

  /**
   * The key to sign with now.
   *
   * @throws InvalidConfig when no configured master key opens it.
   */
  async signingKey(): Promise<{ kid: string; privateKey: KeyObject }> {
    const { pair } = activeOf((await this.current()).keys) ?? refuse();
    return pair;
  }

  /** The public key of `kid`, or undefined when no published key has it. Looks into the database for one that is unknown. */
  async publicKey(kid: string): Promise<KeyObject | undefined> {
    const ring = this.ring ?? (await this.loads.run());
    const known = ring.byKid.get(kid) ?? (await this.search()).byKid.get(kid);
    return known && this.isLive(known) ? known.pair.publicKey : undefined;
  }

  /** Whether tokens of this key are still accepted, as far as this instance knows without asking. */
  isKnown(kid: string): boolean {
    const known = this.ring?.byKid.get(kid);
    return known !== undefined && this.isLive(known);
  }

  /** Learns of every key that was revoked before this call. */
  async refresh(): Promise<void> {
    await this.loads.run();
  }

  /** Every published key, for the JWKS. */
  async published(): Promise<PublicJwk[]> {
    const { keys } = await this.current();
    return keys.ours.filter((key) => this.isLive(key)).map(({ pair }) => pair.jwk);
  }

  /** The keys as of a moment after this call, with one that signs and one that will. */
  private async current(): Promise<KeyRing> {
    const ring = await this.loads.run();
    if (!this.rotation.isDue(ring.keys)) return ring;
    try {
      return await this.upkeep.run();
    } catch (error) {
      if (!activeOf(ring.keys)) throw error;
      // There is time: the next one need not sign for days.
      this.logger.warn({ event: 'background_work_failed', reason: 'signing_keys', err: error });
      return ring;
    }
  }

  /** The keys as of a moment after this call. Who comes while it waits waits with it: a good token is not refused for bad ones. */
  private search(): Promise<KeyRing> {
    const wait = async () => {
      await sleep(Math.max(0, (this.ring?.loadedAt ?? 0) + COOLDOWN_MS - performance.now()));
      this.searching = undefined;
      return this.loads.run();
    };
    return (this.searching ??= wait());
  }

  private hold(keys: Keys): KeyRing {
    const byKid = new Map(keys.ours.map((key) => [key.row.kid, key]));
    this.ring = { loadedAt: performance.now(), keys, byKid };
    return this.ring;
  }

  /** A revoked one is not, at once, whatever our clock says of when that was. */
  private isLive({ row, life: { goneAt } }: HeldKey): boolean {
    return row.revokedAt === null && (goneAt === null || goneAt > this.clock.now());
  }
}
