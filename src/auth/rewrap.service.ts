import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import type { Resealed } from '../common/master-keys.js';
import { inTransaction } from '../database/transaction.js';
import { Outbox } from '../mail/outbox.js';
import { KeyRotation } from '../tokens/key-rotation.js';
import { UserRepository } from '../users/user.repository.js';
import { FormerPasswordRepository } from './account/former-password.repository.js';
import { PasswordHasher } from './password-hasher.js';

const BATCH = 200;

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
    return (await Promise.all(counts)).reduce((sum, one) => sum + one, (await this.keys.findSealed()).length);
  }

  /**
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
      counts.rewrapped[kind] += outcomes.filter((one) => typeof one === 'object').length;
      counts.unopenable[kind] += outcomes.filter((one) => one === 'unopenable').length;
      onProgress((seen += outcomes.length));
    };
    for (const row of await this.keys.findSealed()) note('signing_keys', [await this.keys.rewrap(row)]);
    const passes: [SealedKind, Pass][] = [
      ['passwords', (after, transaction) => this.rewrapPasswords(after, transaction)],
      ['former_passwords', (after, transaction) => this.rewrapFormerPasswords(after, transaction)],
      ['mails', (after, transaction) => this.outbox.rewrapAfter(after, BATCH, transaction)],
    ];
    for (const [kind, pass] of passes) {
      for (let after: string | undefined = ''; after !== undefined && !isStopping();) {
        const from: string = after;
        const batch: Batch = await inTransaction(this.dataSource, (transaction) => pass(from, transaction));
        note(kind, batch.outcomes);
        after = batch.lastId;
      }
    }
    await this.audit.record({ type: 'key_rotated', reason: 'rewrapped', actor, details: counts.rewrapped });
    return counts;
  }

  private async rewrapPasswords(after: string, transaction: EntityManager): Promise<Batch> {
    const page = await this.users.findHashesAfter(after, BATCH, transaction);
    const outcomes: Batch['outcomes'] = [];
    for (const { id, passwordHash } of page) {
      const resealed = this.hasher.reseal({ id, passwordHash });
      const isDone =
        typeof resealed !== 'object' ||
        (await this.users.upgradePasswordHash(id, passwordHash, resealed.sealed, transaction));
      outcomes.push(isDone ? resealed : undefined);
    }
    return { outcomes, lastId: page.at(-1)?.id };
  }

  private async rewrapFormerPasswords(after: string, transaction: EntityManager): Promise<Batch> {
    const page = await this.formerPasswords.findAfter(after, BATCH, transaction);
    const outcomes: Batch['outcomes'] = [];
    for (const row of page) {
      const resealed = this.hasher.reseal({ id: row.userId, passwordHash: row.passwordHash });
      const isDone =
        typeof resealed !== 'object' || (await this.formerPasswords.replace(row, resealed.sealed, transaction));
      outcomes.push(isDone ? resealed : undefined);
    }
    return { outcomes, lastId: page.at(-1)?.id };
  }
}

/** What became of a page of rows; `lastId` is undefined when it was empty: there are no more. */
interface Batch {
  outcomes: (Resealed | undefined)[];
  lastId: string | undefined;
}

type Pass = (after: string, transaction: EntityManager) => Promise<Batch>;
