import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, type DataSource, type EntityManager } from 'typeorm';
import { BackgroundLoop } from '../common/background-loop.js';
import { Clock, plusSeconds, secondsSince } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import { deleteEach } from '../database/delete-each.js';
import { Leases } from '../database/leases.js';
import { isDuplicate } from '../database/errors.js';
import { afterCommit, inTransaction } from '../database/transaction.js';
import { Metrics } from '../metrics/metrics.js';
import { AuditEvent } from './audit-event.entity.js';
import { AuditTrail } from './audit-trail.js';
import { isAuthentic } from './event-mac.js';
import { merkleRoot } from './merkle-tree.js';
import { isEventId, leafOf, packIds, timeOf } from './seal.js';
import { SealRepository } from './seal.repository.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

const INTERVAL_MS = 4_000;
const LEASE = 'audit_sealer';
const LEASE_SECONDS = 15;
const BATCH = 500;

/** Another instance had no lease any more, or not yet, and was quicker. */
class SealedElsewhere extends Error {}

/**
 * Puts the events under seal, a batch every few seconds, on whichever instance has the lease. Nobody waits for it: an event
 * counts from the moment in which it is committed, and is evident to have been changed from the moment in which it is sealed.
 */
@Injectable()
export class AuditSealer {
  private readonly loop = new BackgroundLoop('audit_seal', INTERVAL_MS, async (isStopping) => {
    await this.sealUnderLease(isStopping);
  });
  private readonly logger = new Logger(AuditSealer.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly masterKeys: MasterKeys,
    private readonly leases: Leases,
    private readonly seals: SealRepository,
    private readonly trail: AuditTrail,
    private readonly metrics: Metrics,
  ) {
    metrics.gauge('audit_unsealed_events', 'Events that no seal covers yet.', () =>
      dataSource.getRepository(UnsealedEvent).count(),
    );
    metrics.gauge('audit_oldest_unsealed_seconds', 'For how long the oldest event waits for its seal.', async () => {
      const [oldest] = await dataSource.getRepository(UnsealedEvent).find({ order: { eventId: 'ASC' }, take: 1 });
      const seconds = secondsSince(oldest && new Date(timeOf(oldest.eventId)), clock.now());
      return Number.isNaN(seconds) ? Infinity : seconds; // somebody else's row must not hide the age of ours
    });
  }

  start(): void {
    this.loop.start();
  }

  /** Lets another instance take over at once, or when the lease ends, where the database cannot be told. */
  async stop(): Promise<void> {
    await this.loop.stop();
    await this.leases.release(LEASE).catch(() => {});
  }

  /** Seals everything that waits, unless that is another instance's work now. @returns how many events. */
  async sealUnderLease(isStopping?: () => boolean): Promise<number> {
    const now = this.clock.now();
    const isOurs = await this.leases.take(LEASE, now, plusSeconds(now, LEASE_SECONDS));
    return isOurs ? this.sealAll(isStopping) : 0;
  }

  /** Seals everything that waits. @returns how many events. */
  async sealAll(isStopping: () => boolean = () => false): Promise<number> {
    for (let total = 0; ;) {
      const sealed = await this.sealNext();
      total += sealed;
      if (sealed < BATCH || isStopping()) return total;
    }
  }

  private async sealNext(): Promise<number> {
    try {
      return await inTransaction(this.dataSource, (transaction) => this.sealBatch(transaction));
    } catch (error) {
      if (error instanceof SealedElsewhere || isDuplicate(error)) return 0;
      throw error;
    }
  }

  private async sealBatch(transaction: EntityManager): Promise<number> {
    const waiting = await transaction.find(UnsealedEvent, { order: { eventId: 'ASC' }, take: BATCH });
    const rows = waiting.map(({ eventId }) => eventId);
    const ids = rows.filter(isEventId);
    if (ids.length > 0) await this.appendSeal(ids, transaction);
    const taken = await deleteEach(UnsealedEvent, 'eventId', rows, transaction);
    if (taken !== rows.length) throw new SealedElsewhere();
    for (const id of rows.filter((row) => !isEventId(row))) {
      afterCommit(transaction, () => this.raiseAlarm('not_an_event', { audit_id: id.slice(0, 36) }));
    }
    return rows.length;
  }

  private async appendSeal(ids: readonly string[], transaction: EntityManager): Promise<void> {
    const found = await transaction.findBy(AuditEvent, { id: In(ids) });
    const events = new Map(found.map((event) => [event.id, event]));
    const previous = await this.seals.append(
      {
        kind: 'events',
        sealedAt: this.clock.now(),
        eventCount: ids.length,
        eventIds: packIds(ids),
        root: merkleRoot(ids.map((id) => leafOf(id, events.get(id)))).toString('base64url'),
        purgedThrough: null,
      },
      transaction,
    );
    if (previous && this.seals.isOurs(previous) === false) {
      // The chain goes on behind it: its verification names the seal, and new events must not wait for somebody to look.
      afterCommit(transaction, () => this.raiseAlarm('seal_not_ours'));
    }
    const byOperators = found.filter(({ actorType }) => actorType === 'operator');
    afterCommit(transaction, () => {
      for (const event of byOperators) this.trail.tell(event);
    });
    // What was changed before its seal is sealed as it is: the verification finds it, and the operator hears of it now.
    for (const id of ids) {
      const event = events.get(id);
      if (event && isAuthentic(event, this.masterKeys)) continue;
      afterCommit(transaction, () => this.raiseAlarm(event ? 'changed' : 'removed', { audit_id: id }));
    }
  }

  private raiseAlarm(reason: string, about: { audit_id?: string } = {}): void {
    this.metrics.auditTampering.inc();
    this.logger.error({ event: 'audit_tampered', reason, ...about });
  }
}
