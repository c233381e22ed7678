import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { Clock } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import { deleteEach } from '../database/delete-each.js';
import { isDenied, isDuplicate } from '../database/errors.js';
import { inTransaction } from '../database/transaction.js';
import { AuditEvent } from './audit-event.entity.js';
import type { AuditSeal } from './audit-seal.entity.js';
import { AuditTrail, type Actor } from './audit-trail.js';
import { merkleRoot } from './merkle-tree.js';
import { unpackIds } from './seal.js';
import { SealRepository } from './seal.repository.js';

const ATTEMPTS = 5;

/** This user of the database may not delete events, and the server's had better not. */
export class MayNotPurge extends Error {
  constructor(cause: unknown) {
    super('Nothing was deleted: this database user may not. Run audit:purge as the user that migrates.', { cause });
    this.name = 'MayNotPurge';
  }
}

/**
 * Retention. A signed statement in the chain says up to which seal the events are gone; only then are they deleted, seal by
 * seal. The seals themselves stay, so the chain is whole, and what is missing without a statement was removed.
 */
@Injectable()
export class AuditPurge {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly masterKeys: MasterKeys,
    private readonly seals: SealRepository,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Deletes the events of every seal that was made before an instant. Interrupted, the same call goes on.
   *
   * @throws MayNotPurge before anything is said or deleted.
   * @returns how many events.
   */
  async purge(before: Date, actor: Actor): Promise<number> {
    await this.ensureAllowed();
    await this.state(before, actor);
    const through = await this.seals.purgedThrough();
    let purged = 0;
    for (let after = 0; ;) {
      const seal = await this.seals.findListed(after, through);
      if (!seal) return purged;
      after = seal.number;
      purged += await inTransaction(this.dataSource, (transaction) => this.purgeSeal(seal, transaction));
    }
  }

  /** Does to no row what a purge does to many. */
  private async ensureAllowed(): Promise<void> {
    try {
      await this.dataSource.manager.delete(AuditEvent, { id: '' });
      await this.seals.clearList(0, this.dataSource.manager);
    } catch (error) {
      throw isDenied(error) ? new MayNotPurge(error) : error;
    }
  }

  /**
   * Says in the chain what is about to go, unless that has been said under the newest master key: after a change of it
   * what is gone is stated again, so that the old one need not be kept for what it sealed.
   */
  private async state(before: Date, actor: Actor): Promise<void> {
    const through = Math.max(await this.seals.lastBefore(before), await this.seals.purgedThrough());
    if (through <= (await this.seals.purgedThrough(this.masterKeys.newestDerived('audit-seal').id))) return;
    for (let attempt = 1; ; attempt++) {
      try {
        return await inTransaction(this.dataSource, (transaction) =>
          this.appendStatement(through, before, actor, transaction),
        );
      } catch (error) {
        if (attempt >= ATTEMPTS || !isDuplicate(error)) throw error; // a sealer took the number
      }
    }
  }

  private async appendStatement(
    through: number,
    before: Date,
    actor: Actor,
    transaction: EntityManager,
  ): Promise<void> {
    const details = { through_seal: through, before: before.toISOString() };
    await this.audit.record({ type: 'sensitive_delete', reason: 'audit_purge', actor, details }, transaction);
    const statement = { kind: 'purge', sealedAt: this.clock.now(), eventCount: 0, eventIds: '' } as const;
    const root = merkleRoot([]).toString('base64url');
    await this.seals.append({ ...statement, root, purgedThrough: through }, transaction);
  }

  private async purgeSeal(seal: AuditSeal, transaction: EntityManager): Promise<number> {
    const purged = await deleteEach(AuditEvent, 'id', unpackIds(seal.eventIds), transaction);
    await this.seals.clearList(seal.number, transaction);
    return purged;
  }
}
