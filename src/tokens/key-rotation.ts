import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { sealedPage, type SealedPage } from '../common/sealed-page.js';
import { Config } from '../config/config.js';
import { InvalidConfig } from '../config/load-config.js';
import { inTransaction } from '../database/transaction.js';
import { livesOf, PUBLISHED_SECONDS, type KeyLife } from './key-life.js';
import { KeyVault, type KeyPair } from './key-vault.js';
import { RevocationRepository } from './revocation.repository.js';
import type { SigningKey } from './signing-key.entity.js';
import { SigningKeyRepository } from './signing-key.repository.js';

const DAY_SECONDS = 86_400;
/** Longer than any token lives, and than anybody caches a JWKS. */
const REVOCATION_SECONDS = 3_600;
/** What is gone is shown for so long, and what was revoked. */
const GONE_KEPT_SECONDS = DAY_SECONDS;
const REVOKED_KEPT_SECONDS = 30 * DAY_SECONDS;
/** From no key at all to two takes three looks; others may do something in between. */
const MAX_STEPS = 20;

const SYSTEM: Actor = { type: 'system' };

/** A key of ours. */
export interface HeldKey {
  row: SigningKey;
  pair: KeyPair;
  life: KeyLife;
}

/** All keys at one instant, oldest first. */
export interface Keys {
  ours: HeldKey[];
  /** What no master key opens: not made by us, or under a master key that was taken out. */
  foreign: SigningKey[];
  /** The greatest number of all; 0 when there is no key. */
  lastNumber: number;
  /** The newest key that is not revoked is under a master key that we do not have. Those who do make the next one. */
  isLedByOthers: boolean;
}

/** When a key begins to sign, or has begun to. `isChanged`: through this call. */
export interface Rotated {
  kid: string;
  activatesAt: Date;
  isChanged: boolean;
}

/**
 * What came of the wish to revoke a key. `successor` signs now; undefined when that could not be seen to: whoever asks for a
 * key next does.
 */
export type Revoked = { result: 'revoked'; successor: string | undefined } | { result: 'unknown' | 'revoked_already' };

/**
 * Turns the signing keys: there is always one that signs and one that is published and will. Any instance does what is due,
 * in single steps that a unique number or an affected-row count decides, so several may at once, and a kill between two
 * steps leaves the rest to whoever comes next.
 */
@Injectable()
export class KeyRotation {
  private readonly logger = new Logger(KeyRotation.name);
  private readonly complainedOf = new Set<string>();

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly rows: SigningKeyRepository,
    private readonly vault: KeyVault,
    private readonly revocations: RevocationRepository,
    private readonly audit: AuditTrail,
  ) {}

  /** Every key that is held, as of a moment after this call. */
  async read(): Promise<Keys> {
    const all = await this.rows.findAll();
    const opened = all.flatMap((row) => {
      const pair = this.vault.open(row);
      return pair ? [{ row, pair }] : [];
    });
    const lives = livesOf(
      opened.map(({ row }) => row),
      this.clock.now(),
    );
    const foreign = all.filter((row) => !this.vault.open(row));
    const newest = all.findLast(({ revokedAt }) => revokedAt === null);
    const leader = newest && this.vault.isOfOtherMasterKey(newest) ? newest : undefined;
    this.complainOf(foreign, leader);
    return {
      ours: opened.map((key, i) => ({ ...key, life: lives[i] as KeyLife })),
      foreign,
      lastNumber: all.at(-1)?.number ?? 0,
      isLedByOthers: leader !== undefined,
    };
  }

  /** Whether a key that was made under a master key that we do not have is still needed. */
  needsOtherMasterKey({ foreign }: Keys): boolean {
    return foreign.some((row) => row.revokedAt === null && this.vault.isOfOtherMasterKey(row));
  }

  /** Whether `keep` would do something. */
  isDue(keys: Keys): boolean {
    return this.due(keys) !== undefined;
  }

  /**
   * Sees to it that one key signs and the next one is published, step by step.
   *
   * @returns the keys then.
   * @throws InvalidConfig when none signs, and the newest is under a master key that we do not have: an operator's mistake, and
   *   no reason to make another.
   */
  async keep(): Promise<Keys> {
    for (let step = 0; step < MAX_STEPS; step++) {
      const keys = await this.read();
      const work = this.due(keys);
      if (!work) return keys;
      await work();
    }
    throw new Error('the signing keys do not come to rest');
  }

  /**
   * Has the next key sign as soon as everybody can know it: now, or when it has been published for fifteen minutes. Of
   * several calls at once one does so.
   */
  async rotate(actor: Actor): Promise<Rotated> {
    for (;;) {
      const { row } = nextOf(await this.keep()) ?? refuse();
      const now = this.clock.now();
      const at = latest(now, plusSeconds(row.createdAt, PUBLISHED_SECONDS));
      if (row.activatesAt <= at) return { kid: row.kid, activatesAt: row.activatesAt, isChanged: false };
      if (await this.move(row, at, 'rotated', actor)) {
        await this.keep();
        return { kid: row.kid, activatesAt: at, isChanged: true };
      }
      const theirs = await this.rows.find(row.kid);
      if (theirs && !theirs.revokedAt) return { kid: row.kid, activatesAt: theirs.activatesAt, isChanged: false };
    }
  }

  /**
   * A key is in wrong hands: nothing that it has signed is accepted from now on. If it signs now, another one does. Also of
   * one that is gone: others may have it for some minutes still. And of one that we cannot open: nobody needs it then.
   */
  async revoke(kid: string, actor: Actor): Promise<Revoked> {
    const { ours, foreign } = await this.read();
    const row = [...ours.map((key) => key.row), ...foreign].find((one) => one.kid === kid);
    if (!row) return { result: 'unknown' };
    const isDone = await inTransaction(this.dataSource, async (transaction) => {
      const now = this.clock.now();
      if (!(await this.rows.revoke(kid, now, transaction))) return false;
      const expiresAt = plusSeconds(now, REVOCATION_SECONDS);
      await this.revocations.add([{ kind: 'kid', value: kid, expiresAt, createdAt: now }], transaction);
      await this.record('revoked', row, actor, transaction);
      return true;
    });
    return isDone ? { result: 'revoked', successor: await this.successor() } : { result: 'revoked_already' };
  }

  /** Deletes what has been gone for a day, or revoked for a month, whoever has made it. */
  async purge(): Promise<void> {
    const { ours, foreign } = await this.read();
    const now = this.clock.now();
    const isOver = (since: Date | null, kept: number) => since !== null && plusSeconds(since, kept) <= now;
    const gone = ours.filter(({ life }) => life.state === 'gone' && isOver(life.goneAt, GONE_KEPT_SECONDS));
    const revoked = [...ours.map(({ row }) => row), ...foreign].filter((row) =>
      isOver(row.revokedAt, REVOKED_KEPT_SECONDS),
    );
    for (const { kid } of [...gone.map(({ row }) => row), ...revoked]) await this.rows.delete(kid);
  }

  /** Every key that somebody may still need: not those that are revoked and open under no master key. */
  async findNeeded(): Promise<SigningKey[]> {
    return (await this.rows.findAll()).filter((row) => row.revokedAt === null || this.vault.open(row));
  }

  /** The same, for the private halves to be sealed again. */
  async sealed(): Promise<SealedPage> {
    return sealedPage(
      await this.findNeeded(),
      undefined,
      (row) => this.vault.reseal(row),
      (row, sealed, transaction) => this.rows.replacePrivateKey(row, sealed, transaction),
    );
  }

  /** Which key signs after a revocation. That stands, whatever happens here. */
  private async successor(): Promise<string | undefined> {
    try {
      return activeOf(await this.keep())?.row.kid;
    } catch (error) {
      this.logger.warn({ event: 'background_work_failed', reason: 'signing_keys', err: error });
      return undefined;
    }
  }

  /** The one step that is due, if any. */
  private due(keys: Keys): (() => Promise<unknown>) | undefined {
    const now = this.clock.now();
    const [active, next] = [activeOf(keys)?.row, nextOf(keys)?.row];
    if (!active && next) return () => this.move(next, now, 'activated', SYSTEM);
    if (keys.isLedByOthers) return active ? undefined : refuse;
    const number = keys.lastNumber + 1;
    if (!active) return () => this.create(number, now, now);
    const turn = plusSeconds(active.activatesAt, this.config.signingKeyDays * DAY_SECONDS);
    if (!next) return () => this.create(number, now, latest(turn, plusSeconds(now, PUBLISHED_SECONDS)));
    // After a shorter SIGNING_KEY_DAYS, or when the one that should have been next was revoked.
    const at = latest(now, turn, plusSeconds(next.createdAt, PUBLISHED_SECONDS));
    return next.activatesAt > at ? () => this.move(next, at, 'brought_forward', SYSTEM) : undefined;
  }

  private create(number: number, now: Date, activatesAt: Date): Promise<void> {
    const key = this.vault.generate(number, now, activatesAt);
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.rows.addUnlessTaken(key, transaction))) return;
      await this.record('created', key, SYSTEM, transaction);
    });
  }

  private move(seen: SigningKey, at: Date, reason: string, actor: Actor): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.rows.moveActivation(seen, at, transaction))) return false;
      await this.record(reason, { ...seen, activatesAt: at }, actor, transaction);
      return true;
    });
  }

  private record(reason: string, key: SigningKey, actor: Actor, transaction: EntityManager): Promise<void> {
    const details = { kid: key.kid, number: key.number, activates_at: key.activatesAt.toISOString() };
    return this.audit.record({ type: 'key_rotated', reason, actor, details }, transaction);
  }

  /** Once for each row. @param leader because of it we make no further key. */
  private complainOf(foreign: SigningKey[], leader: SigningKey | undefined): void {
    for (const row of foreign) {
      if (row.revokedAt !== null || this.complainedOf.has(row.kid)) continue;
      const reason = this.vault.isOfOtherMasterKey(row) ? 'other_master_key' : 'not_openable';
      this.logger.error({
        event: 'signing_key_refused',
        kid: row.kid,
        reason: row === leader ? 'rotation_stopped' : reason,
      });
      this.complainedOf.add(row.kid);
    }
  }
}

/** The key that signs. */
export function activeOf({ ours }: Keys): HeldKey | undefined {
  return ours.find(({ life }) => life.state === 'active');
}

/** The key that will sign after it. */
export function nextOf({ ours }: Keys): HeldKey | undefined {
  return ours.find(({ life }) => life.state === 'next');
}

/** @throws InvalidConfig always. */
export function refuse(): never {
  throw new InvalidConfig([
    'MASTER_KEY opens no signing key of this database: another one was in use when it was made',
  ]);
}

function latest(...instants: Date[]): Date {
  return new Date(Math.max(...instants.map((instant) => instant.getTime())));
}
