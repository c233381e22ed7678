import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, IsNull, LessThan, LessThanOrEqual, MoreThan, type EntityManager, type Repository } from 'typeorm';
import { isSqlite } from '../database/data-source.js';
import { deleteBatch } from '../database/delete-batch.js';
import type { Client } from '../common/principal.js';
import { change, findRows, insertRows, instantText, placeholders } from '../database/raw-rows.js';
import { Session, type EndReason } from './session.entity.js';

/** What a rotation writes. */
export type Rotation = Pick<Session, 'lastUsedAt' | 'expiresAt' | 'accessExpiresAt'>;

/** What is held of the logins of an account. */
export interface Past {
  isFirst: boolean;
  /** One of them came from this address with this user agent. */
  isKnownPlace: boolean;
  liveSessions: number;
  devices: number;
}

/** mysql2 gives counts as text. */
type RawPast = Record<'sessions' | 'sessions_from_here' | 'live_sessions' | 'devices', number | string>;

@Injectable()
export class SessionRepository {
  constructor(@InjectRepository(Session) private readonly rows: Repository<Session>) {}

  async add(session: Session, transaction: EntityManager): Promise<void> {
    await insertRows(transaction, Session, [session]);
  }

  findById(id: string): Promise<Session | null> {
    return this.rows.findOneBy({ id });
  }

  /** The sessions of a user that are live at `now`, newest first. */
  findLive(userId: string, now: Date, transaction: EntityManager = this.rows.manager): Promise<Session[]> {
    const live = 'WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? ORDER BY created_at DESC, id DESC';
    return findRows(transaction, Session, live, [userId, instantText(now)]);
  }

  /** Every session of a user that is still held, newest first. */
  findAll(userId: string): Promise<Session[]> {
    return this.rows.find({ where: { userId }, order: { createdAt: 'DESC', id: 'DESC' } });
  }

  /** What a login at `now` comes upon. One query: each costs more than what it reads. */
  async findPast(userId: string, { ip, userAgent }: Client, now: Date, transaction: EntityManager): Promise<Past> {
    const isSameAgent = userAgent === null ? 'user_agent IS NULL' : 'user_agent = ?';
    const [row]: [RawPast] = await transaction.query(
      `SELECT
         COUNT(*) AS sessions,
         COUNT(CASE WHEN ip = ? AND ${isSameAgent} THEN 1 END) AS sessions_from_here,
         COUNT(CASE WHEN ended_at IS NULL AND expires_at > ? THEN 1 END) AS live_sessions,
         (SELECT COUNT(*) FROM devices WHERE user_id = ?) AS devices
       FROM sessions WHERE user_id = ?`,
      [ip, ...(userAgent === null ? [] : [userAgent]), instantText(now), userId, userId],
    );
    return {
      isFirst: Number(row.sessions) === 0,
      isKnownPlace: Number(row.sessions_from_here) > 0,
      liveSessions: Number(row.live_sessions),
      devices: Number(row.devices),
    };
  }

  /** Deletes what is held of a user's sessions. End them first: that is what makes their tokens refused. */
  async deleteAll(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(Session, { userId });
  }

  /**
   * Moves a live session from `generation` to the next. Of any number of callers with the same generation one wins.
   *
   * @returns whether this caller did.
   */
  async rotate(
    id: string,
    generation: number,
    now: Date,
    rotation: Rotation,
    transaction: EntityManager,
  ): Promise<boolean> {
    const { affected } = await transaction.update(
      Session,
      { id, generation, endedAt: IsNull(), expiresAt: MoreThan(now) },
      { ...rotation, generation: generation + 1 },
    );
    return affected === 1;
  }

  /**
   * Ends those of the sessions that have not ended yet, and holds their rows: a rotation in flight comes before or
   * not at all.
   *
   * @returns the sessions as they are now, with the final `accessExpiresAt`; none when nothing was left to end.
   */
  async end(ids: string[], reason: EndReason, at: Date, transaction: EntityManager): Promise<Session[]> {
    if (ids.length === 0) return [];
    const theirs = `WHERE id IN (${placeholders(ids.length)})`;
    const { affected } = await change(
      transaction,
      `UPDATE sessions SET ended_at = ?, end_reason = ? ${theirs} AND ended_at IS NULL`,
      [instantText(at), reason, ...ids],
    );
    return affected === 0 ? [] : findRows(transaction, Session, theirs, ids);
  }

  /** Ends up to `limit` sessions whose time was up at `now` and that nobody has ended. @returns those that this call did. */
  async endExpired(now: Date, limit: number, transaction: EntityManager): Promise<Session[]> {
    const expired = await transaction.find(Session, {
      where: { endedAt: IsNull(), expiresAt: LessThanOrEqual(now) },
      take: limit,
      // Several instances may look at once: each row is one's. On SQLite there is one transaction at a time.
      ...(!isSqlite(transaction.connection) && { lock: { mode: 'pessimistic_write' } }),
    });
    const ids = expired.map(({ id }) => id);
    if (ids.length > 0) await transaction.update(Session, { id: In(ids) }, { endedAt: now, endReason: 'expired' });
    return expired;
  }

  /**
   * Deletes up to `limit` sessions whose absolute end was before `before`. Until then an ended session stays, so that its
   * refresh tokens are known for what they are.
   *
   * @returns how many.
   */
  purge(before: Date, limit: number): Promise<number> {
    return deleteBatch(this.rows, 'id', { absoluteExpiresAt: LessThan(before) }, limit);
  }
}
