import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, type DataSource } from 'typeorm';
import { Clock } from '../common/clock.js';
import { inTransaction } from '../database/transaction.js';
import { AuditEvent } from './audit-event.entity.js';
import { AuditTrail, type Actor } from './audit-trail.js';
import { merkleRoot } from './merkle-tree.js';
import { unpackIds } from './seal.js';
import { SealRepository } from './seal.repository.js';

/**
 * Retention. A signed statement in the chain says up to which seal the events are gone; only then are they deleted, seal by
 * seal. The seals themselves stay, so the chain is whole, and what is missing without a statement was removed.
 */
@Injectable()
export class AuditPurge {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly seals: SealRepository,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Deletes the events of every seal that was made before an instant. Interrupted, the same call goes on.
   *
   * @throws the database's refusal, before anything is said or deleted, where this user may not delete events.
   * @returns how many events.
   */
  async purge(before: Date, actor: Actor): Promise<number> {
    await this.dataSource.manager.delete(AuditEvent, { id: '' }); // whether we may
    await this.state(before, actor);
    const through = await this.statedThrough();
    let purged = 0;
    for (let after = 0; ;) {
      const seal = await this.seals.findListed(after, through);
      if (!seal) return purged;
      after = seal.number;
      purged += await inTransaction(this.dataSource, async (transaction) => {
        const { affected } = await transaction.delete(AuditEvent, { id: In(unpackIds(seal.eventIds)) });
        await this.seals.clearList(seal.number, transaction);
        return affected ?? 0;
      });
    }
  }

  /** Says in the chain what is about to go, unless that has been said. */
  private async state(before: Date, actor: Actor): Promise<void> {
    const through = await this.seals.lastBefore(before);
    if (through === undefined || through <= (await this.statedThrough())) return;
    await inTransaction(this.dataSource, async (transaction) => {
      const details = { through_seal: through, before: before.toISOString() };
      await this.audit.record({ type: 'sensitive_delete', reason: 'audit_purge', actor, details }, transaction);
      const statement = { kind: 'purge', sealedAt: this.clock.now(), eventCount: 0, eventIds: '' } as const;
      const root = merkleRoot([]).toString('base64url');
      await this.seals.append({ ...statement, root, purgedThrough: through }, transaction);
    });
  }

  private async statedThrough(): Promise<number> {
    const purges = await this.seals.findPurges();
    return Math.max(0, ...purges.map(({ purgedThrough }) => purgedThrough ?? 0));
  }
}
