import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { Clock, plusSeconds, secondsSince } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import { sealedPage, type SealedPage } from '../common/sealed-page.js';
import { Metrics } from '../metrics/metrics.js';
import type { Message, MessageKind } from './messages.js';
import type { OutboxMessage } from './outbox-message.entity.js';
import { OutboxRepository, type DeadMail } from './outbox.repository.js';

/** How long a message is tried. */
const LIFE_SECONDS = 86_400;
const SENT_KEPT_SECONDS = 86_400;
const DEAD_KEPT_SECONDS = 30 * 86_400;
const PAGE = 100;

/** Whom a message goes to: the stored address, and whose it is. */
export interface Recipient {
  /** Null where there is no account, or where the message must outlive it (`forget`). */
  userId: string | null;
  email: string;
}

/**
 * The mails that are on their way: what is added here in a transaction is sent if that commits, by whichever instance comes
 * first, and not if it does not.
 */
@Injectable()
export class Outbox {
  constructor(
    private readonly rows: OutboxRepository,
    private readonly masterKeys: MasterKeys,
    private readonly clock: Clock,
    metrics: Metrics,
  ) {
    metrics.gauge('outbox_waiting', 'Mails that wait to be sent.', () => rows.countWaiting());
    metrics.gauge('outbox_dead', 'Mails that were given up.', () => rows.countDead());
    metrics.gauge('outbox_oldest_seconds', 'For how long the oldest waiting mail has waited.', async () =>
      secondsSince(await rows.findOldestWaiting(), clock.now()),
    );
  }

  /** Stores a message. It is tried for 24 hours from now. */
  async add({ userId, email }: Recipient, message: Message, transaction: EntityManager): Promise<void> {
    const now = this.clock.now();
    const id = uuidv7({ msecs: now.getTime() });
    const content = this.masterKeys.seal('mail-content', JSON.stringify(message), contextOf({ id, recipient: email }));
    const row: OutboxMessage = {
      id,
      userId,
      kind: message.kind,
      recipient: email,
      content,
      createdAt: now,
      nextAttemptAt: now,
      attempts: 0,
      givesUpAt: plusSeconds(now, LIFE_SECONDS),
      sentAt: null,
      deadAt: null,
      lastError: null,
    };
    await this.rows.add(row, transaction);
  }

  /** How many messages of this kind a user was sent, or will be, that were stored after `since`: a day ago at most. */
  countSince(userId: string, kind: MessageKind, since: Date, transaction: EntityManager): Promise<number> {
    return this.rows.countOfUser(userId, kind, since, transaction);
  }

  /**
   * Deletes every message of a user, those that wait too: for the erasure of a person's data. A message about the erasure
   * itself is added without a `userId`.
   */
  async forget(userId: string, transaction: EntityManager): Promise<void> {
    await this.rows.deleteOfUser(userId, transaction);
  }

  /** What is held of the messages of a user, oldest first, without their content. */
  of(userId: string): Promise<OutboxMessage[]> {
    return this.rows.findOfUser(userId);
  }

  /** The messages that were given up, newest first, without their content. */
  async *listDead(): AsyncGenerator<DeadMail, void, void> {
    for (let last: string | undefined; ;) {
      const page = await this.rows.findDead(PAGE, last);
      yield* page;
      last = page.at(-1)?.id;
      if (page.length < PAGE) return;
    }
  }

  /**
   * Has messages that were given up tried again, from now on and for 24 hours. Ids that are not dead are passed over.
   *
   * @returns how many.
   */
  retry(ids: readonly string[] | 'all', transaction?: EntityManager): Promise<number> {
    const now = this.clock.now();
    return this.rows.revive(ids, now, plusSeconds(now, LIFE_SECONDS), transaction);
  }

  /** How many messages are held with their content. */
  count(): Promise<number> {
    return this.rows.countWithContent();
  }

  /** Up to `limit` messages with their content, whose ids are after `id`. */
  async sealedAfter(id: string, limit: number): Promise<SealedPage> {
    const page = await this.rows.findContentAfter(id, limit);
    return sealedPage(
      page,
      page.at(-1)?.id,
      (row) => this.masterKeys.reseal('mail-content', row.content ?? '', contextOf(row)),
      (row, sealed, transaction) => this.rows.replaceContent(row, sealed, transaction),
    );
  }

  /**
   * Deletes up to `limit` messages: sent ones after a day, given up ones after 30 days.
   *
   * @returns how many.
   */
  purge(now: Date, limit: number): Promise<number> {
    return this.rows.purge(plusSeconds(now, -SENT_KEPT_SECONDS), plusSeconds(now, -DEAD_KEPT_SECONDS), limit);
  }
}

/** What sealed content is bound to: moved to another row or turned to another address it does not open. */
export function contextOf({ id, recipient }: Pick<OutboxMessage, 'id' | 'recipient'>): string {
  return `${id}|${recipient}`;
}
