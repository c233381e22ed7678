import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { EntityManager, Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../common/clock.js';
import type { Client } from '../common/principal.js';
import { AuditEvent, type ActorType, type AuditEventType } from './audit-event.entity.js';

/** Who did it. `id` is a user's id or an operator's login name. */
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

/** The record of what happened. An event is written in the transaction of the change that it tells of, or with no change at all. */
@Injectable()
export class AuditTrail {
  constructor(
    @InjectRepository(AuditEvent) private readonly rows: Repository<AuditEvent>,
    private readonly clock: Clock,
  ) {}

  /** Appends one event. When it cannot be written, neither is what it tells of: the error ends the transaction. */
  async record(entry: AuditEntry, transaction: EntityManager = this.rows.manager): Promise<void> {
    await transaction.insert(AuditEvent, this.eventOf(entry));
  }

  /** Appends several events in one statement, as `record` does one. */
  async recordAll(entries: AuditEntry[], transaction: EntityManager): Promise<void> {
    if (entries.length === 0) return;
    await transaction.insert(
      AuditEvent,
      entries.map((entry) => this.eventOf(entry)),
    );
  }

  /** Everything about one account, oldest first. */
  about(subjectId: string): Promise<AuditEvent[]> {
    return this.rows.find({ where: { subjectId }, order: { id: 'ASC' } });
  }

  private eventOf(entry: AuditEntry): AuditEvent {
    const { type, outcome = 'success', actor, subjectId, sessionId, client, reason, details } = entry;
    return {
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
  }
}
