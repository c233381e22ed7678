import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, IsNull, LessThan, LessThanOrEqual, MoreThan, Not, type EntityManager, type Repository } from 'typeorm';
import { deleteBatch } from '../database/delete-batch.js';
import type { MessageKind } from './messages.js';
import { OutboxMessage } from './outbox-message.entity.js';

/** A dead row for an operator's eyes: everything but its content. */
export type DeadMail = Pick<
  OutboxMessage,
  'id' | 'userId' | 'kind' | 'recipient' | 'createdAt' | 'attempts' | 'lastError'
> & { deadAt: Date };

const PENDING = { sentAt: IsNull(), deadAt: IsNull() };

@Injectable()
export class OutboxRepository {
  constructor(@InjectRepository(OutboxMessage) private readonly rows: Repository<OutboxMessage>) {}

  async add(row: OutboxMessage, transaction: EntityManager): Promise<void> {
    await transaction.insert(OutboxMessage, row);
  }

  /** What is held of the messages of a user, oldest first, without their content. */
  findOfUser(userId: string): Promise<OutboxMessage[]> {
    return this.rows.find({
      select: { id: true, kind: true, recipient: true, createdAt: true, sentAt: true },
      where: { userId },
      order: { id: 'ASC' },
    });
  }

  /** How many messages of a kind were stored for a user after `since`. */
  countOfUser(userId: string, kind: MessageKind, since: Date, transaction: EntityManager): Promise<number> {
    return transaction.countBy(OutboxMessage, { userId, kind, createdAt: MoreThan(since) });
  }

  /** Up to `limit` rows that wait and are due at `now`, those that are due longest first. */
  findDue(now: Date, limit: number): Promise<OutboxMessage[]> {
    return this.rows.find({
      where: { ...PENDING, nextAttemptAt: LessThanOrEqual(now) },
      order: { nextAttemptAt: 'ASC' },
      take: limit,
    });
  }

  /** As `findDue`, of those alone whose time was up before `now`. */
  findGivenUp(now: Date, limit: number): Promise<OutboxMessage[]> {
    return this.rows.find({
      where: { ...PENDING, nextAttemptAt: LessThanOrEqual(now), givesUpAt: LessThanOrEqual(now) },
      order: { nextAttemptAt: 'ASC' },
      take: limit,
    });
  }

  /**
   * Takes a due row until `leaseEnd`. Of any number of callers that saw the same row one wins.
   *
   * @returns whether this caller did. Its attempt is then `row.attempts + 1`.
   */
  async claim({ id, attempts }: OutboxMessage, now: Date, leaseEnd: Date): Promise<boolean> {
    const { affected } = await this.rows.update(
      { id, attempts, nextAttemptAt: LessThanOrEqual(now), ...PENDING },
      { attempts: attempts + 1, nextAttemptAt: leaseEnd },
    );
    return affected === 1;
  }

  /**
   * Notes that the message was taken by a server, and erases its content. That is a fact, so it holds whoever has the row
   * by now; only the first such note counts.
   */
  async markSent(id: string, at: Date): Promise<void> {
    await this.rows.update(
      { id, sentAt: IsNull() },
      { sentAt: at, content: null, nextAttemptAt: null, deadAt: null, lastError: null },
    );
  }

  /** Puts a row off after attempt `attempt` failed, unless another attempt has begun or the message is sent. */
  async putOff(id: string, attempt: number, until: Date, code: string): Promise<void> {
    await this.rows.update({ id, attempts: attempt, ...PENDING }, { nextAttemptAt: until, lastError: code });
  }

  /**
   * Gives a row up, unless an attempt other than `attempt` has begun or the message is sent.
   *
   * @returns whether this caller did.
   */
  async markDead(id: string, attempt: number, at: Date, code: string): Promise<boolean> {
    const { affected } = await this.rows.update(
      { id, attempts: attempt, ...PENDING },
      { deadAt: at, nextAttemptAt: null, lastError: code },
    );
    return affected === 1;
  }

  /** Up to `limit` rows with their content whose id is after `id`, in its order. */
  findContentAfter(id: string, limit: number): Promise<OutboxMessage[]> {
    const where = { id: MoreThan(id), content: Not(IsNull()) };
    return this.rows.find({ where, order: { id: 'ASC' }, take: limit });
  }

  /** Puts another form of the same content in place of the one that was seen. @returns false when that is gone. */
  async replaceContent(
    { id, content: seen }: OutboxMessage,
    content: string,
    transaction: EntityManager,
  ): Promise<boolean> {
    if (seen === null) return false;
    const { affected } = await transaction.update(OutboxMessage, { id, content: seen }, { content });
    return affected === 1;
  }

  /** How many rows have their content. */
  countWithContent(): Promise<number> {
    return this.rows.countBy({ content: Not(IsNull()) });
  }

  countWaiting(): Promise<number> {
    return this.rows.countBy(PENDING);
  }

  countDead(): Promise<number> {
    return this.rows.countBy({ deadAt: Not(IsNull()) });
  }

  /** When the message was stored that has waited longest; undefined when none waits. */
  async findOldestWaiting(): Promise<Date | undefined> {
    const [oldest] = await this.rows.find({
      select: { id: true, createdAt: true },
      where: PENDING,
      order: { createdAt: 'ASC' },
      take: 1,
    });
    return oldest?.createdAt;
  }

  /** Deletes every row of a user, sent or not. */
  async deleteOfUser(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(OutboxMessage, { userId });
  }

  /** Up to `limit` dead rows, newest first; `beforeId` is the last one of the page before. */
  async findDead(limit: number, beforeId = 'g'): Promise<DeadMail[]> {
    // UUIDs of version 7 sort by their time, and 'g' comes behind every hex digit.
    const rows = await this.rows.find({
      select: {
        id: true,
        userId: true,
        kind: true,
        recipient: true,
        createdAt: true,
        attempts: true,
        lastError: true,
        deadAt: true,
      },
      where: { deadAt: Not(IsNull()), id: LessThan(beforeId) },
      order: { id: 'DESC' },
      take: limit,
    });
    return rows as DeadMail[];
  }

  /** Lets dead rows wait again: all of them, or those of `ids`. Returns how many. */
  async revive(
    ids: readonly string[] | 'all',
    now: Date,
    givesUpAt: Date,
    transaction: EntityManager = this.rows.manager,
  ): Promise<number> {
    if (ids.length === 0) return 0;
    const { affected } = await transaction.update(
      OutboxMessage,
      { ...(ids !== 'all' && { id: In(ids) }), deadAt: Not(IsNull()), content: Not(IsNull()) },
      // `attempts` stays: it must only grow, or a sender that was stopped for long would take its old number for this one.
      { deadAt: null, nextAttemptAt: now, givesUpAt },
    );
    return affected ?? 0;
  }

  /**
   * Deletes up to `limit` rows that were sent before `sentBefore`, or dead before `deadBefore`.
   *
   * @returns how many.
   */
  async purge(sentBefore: Date, deadBefore: Date, limit: number): Promise<number> {
    const sent = await deleteBatch(this.rows, 'id', { sentAt: LessThan(sentBefore) }, limit);
    if (sent === limit) return sent;
    return sent + (await deleteBatch(this.rows, 'id', { deadAt: LessThan(deadBefore) }, limit - sent));
  }
}
