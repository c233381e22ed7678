import { Injectable, Logger } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, type EntityManager, type Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../common/clock.js';
import { Unavailable } from '../common/domain-error.js';
import { MasterKeys } from '../common/master-keys.js';
import type { Client } from '../common/principal.js';
import { isDeadlock } from '../database/errors.js';
import { insertRows } from '../database/raw-rows.js';
import { afterCommit, inTransaction } from '../database/transaction.js';
import { Metrics } from '../metrics/metrics.js';
import { AuditEvent, type ActorType, type AuditEventType } from './audit-event.entity.js';
import { macOf } from './event-mac.js';
import { eventView } from './event-view.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

const RETRY_AFTER_SECONDS = 2;
/** For these a line of the log has names of its own. */
const NAMED_OTHERWISE = new Set(['id', 'at', 'type']);

/** Who did it. `id` is a user's or a client's id, or an operator's login name. */
export interface Actor {
  type: ActorType;
  id?: string;
}

export interface AuditEntry {
  type: AuditEventType;
  outcome?: 'success' | 'failure';
  actor: Actor;
  /** The account it is about. */
  subjectId?: string;
  sessionId?: string;
  /** Where the request came from; missing for what no request asked for. */
  client?: Client;
  /** At most 64 characters. */
  reason?: string;
  details?: Record<string, string | number | boolean>;
}

/** The members of an event that a person has caused about their own account. @param sessionId where it was done in one. */
export function ownAction(userId: string, client: Client, sessionId?: string) {
  return {
    actor: { type: 'user', id: userId },
    subjectId: userId,
    client,
    ...(sessionId !== undefined && { sessionId }),
  } satisfies Partial<AuditEntry>;
}

/**
 * The record of what happened. An event is written in the transaction of the change that it tells of, or with no change at
 * all; once that is committed, it is in the log too, and what an operator's command did once it is sealed.
 */
@Injectable()
export class AuditTrail {
  private readonly logger = new Logger('Audit');

  constructor(
    @InjectRepository(AuditEvent) private readonly rows: Repository<AuditEvent>,
    private readonly clock: Clock,
    private readonly masterKeys: MasterKeys,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Appends one event.
   *
   * @throws Unavailable when it cannot be written, which ends the transaction: what cannot be recorded does not happen.
   */
  async record(entry: AuditEntry, transaction?: EntityManager): Promise<void> {
    await this.recordAll([entry], transaction);
  }

  /** Appends several events, as `record` does one. */
  async recordAll(entries: AuditEntry[], transaction?: EntityManager): Promise<void> {
    if (entries.length === 0) return;
    if (!transaction) return inTransaction(this.rows.manager.connection, (own) => this.recordAll(entries, own));
    const events = entries.map((entry) => this.eventOf(entry));
    try {
      await insertRows(transaction, AuditEvent, events);
      const unsealed = events.map(({ id }) => ({ eventId: id }));
      await insertRows(transaction, UnsealedEvent, unsealed);
    } catch (error) {
      if (isDeadlock(error)) throw error; // the whole transaction is tried again
      throw new Unavailable('audit', RETRY_AFTER_SECONDS, error);
    }
    afterCommit(transaction, () => {
      // Nobody collects what a command prints: a server tells of it when it seals it.
      for (const event of events) if (event.actorType !== 'operator') this.tell(event);
    });
  }

  /** Everything about one account, oldest first. */
  about(subjectId: string): Promise<AuditEvent[]> {
    return this.rows.find({ where: { subjectId }, order: { id: 'ASC' } });
  }

  /** Up to `limit` events about one account, newest first; `beforeId` is the last one of the page before. */
  newestAbout(subjectId: string, limit: number, beforeId?: string): Promise<AuditEvent[]> {
    const where = { subjectId, ...(beforeId !== undefined && { id: LessThan(beforeId) }) };
    return this.rows.find({ where, order: { id: 'DESC' }, take: limit });
  }

  private eventOf(entry: AuditEntry): AuditEvent {
    const { type, outcome = 'success', actor, subjectId, sessionId, client, reason, details } = entry;
    const event = {
      id: uuidv7(),
      at: this.clock.now(),
      type,
      outcome,
      actorId: actor.id ?? null,
      actorType: actor.type,
      subjectId: subjectId ?? null,
      sessionId: sessionId ?? null,
      ip: client?.ip ?? null,
      userAgent: client?.userAgent ?? null,
      requestId: client?.requestId ?? null,
      reason: reason ?? null,
      details: details ? JSON.stringify(details) : null,
    };
    return { ...event, mac: macOf(event, this.masterKeys) };
  }

  /** Writes an event into the log, and counts it. */
  tell(event: AuditEvent): void {
    const { id, type, outcome } = event;
    this.metrics.auditEvents.inc({ type, outcome });
    const fields = Object.entries(eventView(event)).filter(
      ([name, value]) => value !== null && !NAMED_OTHERWISE.has(name),
    );
    this.logger.log({ event: type, audit_id: id, ...Object.fromEntries(fields) });
  }
}
