import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import type { Resealed } from '../common/master-keys.js';
import { sealedPage, type SealedPage } from '../common/sealed-page.js';
import { inTransaction } from '../database/transaction.js';
import { Outbox } from '../mail/outbox.js';
import { KeyRotation } from '../tokens/key-rotation.js';
import { UserRepository } from '../users/user.repository.js';
import { FormerPasswordRepository } from './account/former-password.repository.js';
import { PasswordHasher } from './password-hasher.js';

const BATCH = 200;

/** A page of one kind, of the rows whose ids are after `after`. */
type Pass = (after: string) => Promise<SealedPage>;

/** What is sealed under the master key and can be opened without its owner. */
export type SealedKind = 'signing_keys' | 'passwords' | 'former_passwords' | 'mails';

/** How many values were sealed again, and how many no master key opens. */
export interface RewrapCounts {
  rewrapped: Record<SealedKind, number>;
  unopenable: Record<SealedKind, number>;
}

const none = (): Record<SealedKind, number> => ({ signing_keys: 0, passwords: 0, former_passwords: 0, mails: 0 });

/**
 * Seals everything again under the newest master key. In batches of the order of the ids, each value only if it is still what
 * was read: who changes it meanwhile wins, and has sealed it under the newest key anyway. What was done stays done, so after
 * an interruption it goes on by itself where it was.
 */
@Injectable()
export class RewrapService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly keys: KeyRotation,
    private readonly users: UserRepository,
    private readonly formerPasswords: FormerPasswordRepository,
    private readonly outbox: Outbox,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
  ) {}

  /** How many values there are to look at, about. */
  async count(): Promise<number> {
    const counts = [this.users.count(), this.formerPasswords.count(), this.outbox.count()];
    return sumOf(await Promise.all(counts)) + (await this.keys.findNeeded()).length;
  }

  /**
   * Leaves an event in the transaction that changes the first value, and one with the counts at the end: whoever is killed in
   * between has said so. Where there is nothing to do it leaves none.
   *
   * @param onProgress told how many values have been looked at.
   * @param isStopping asked after each batch.
   */
  async rewrap(
    actor: Actor,
    onProgress: (seen: number) => void = () => {},
    isStopping: () => boolean = () => false,
  ): Promise<RewrapCounts> {
    const counts: RewrapCounts = { rewrapped: none(), unopenable: none() };
    let seen = 0;
    const note = (kind: SealedKind, outcomes: (Resealed | undefined)[]) => {
      counts.rewrapped[kind] += outcomes.filter(isSealed).length;
      counts.unopenable[kind] += outcomes.filter((one) => one === 'unopenable').length;
      onProgress((seen += outcomes.length));
    };
    const record = (reason: string, transaction?: EntityManager) =>
      this.audit.record({ type: 'key_rotated', reason, actor, details: counts.rewrapped }, transaction);
    const hasChanged = () => sumOf(Object.values(counts.rewrapped)) > 0;
    const passes: [SealedKind, Pass][] = [
      ['signing_keys', () => this.keys.sealed()],
      ['passwords', (after) => this.passwords(after)],
      ['former_passwords', (after) => this.pastPasswords(after)],
      ['mails', (after) => this.outbox.sealedAfter(after, BATCH)],
    ];
    for (const [kind, pass] of passes) {
      for (let after: string | undefined = ''; after !== undefined && !isStopping();) {
        const page: SealedPage = await pass(after);
        const outcomes = await inTransaction(this.dataSource, async (transaction) => {
          const done = await page.reseal(transaction);
          if (!hasChanged() && done.some(isSealed)) await record('rewrap_begun', transaction);
          return done;
        });
        note(kind, outcomes);
        after = page.lastId;
      }
    }
    if (hasChanged()) await record('rewrapped');
    return counts;
  }

  private async passwords(after: string): Promise<SealedPage> {
    const page = await this.users.findHashesAfter(after, BATCH);
    return sealedPage(
      page,
      page.at(-1)?.id,
      (row) => this.hasher.reseal(row),
      ({ id, passwordHash }, sealed, transaction) =>
        this.users.upgradePasswordHash(id, passwordHash, sealed, transaction),
    );
  }

  private async pastPasswords(after: string): Promise<SealedPage> {
    const page = await this.formerPasswords.findAfter(after, BATCH);
    return sealedPage(
      page,
      page.at(-1)?.id,
      ({ userId, passwordHash }) => this.hasher.reseal({ id: userId, passwordHash }),
      (row, sealed, transaction) => this.formerPasswords.replace(row, sealed, transaction),
    );
  }
}

function isSealed(outcome: Resealed | undefined): boolean {
  return typeof outcome === 'object';
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, one) => sum + one, 0);
}
