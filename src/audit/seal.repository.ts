import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import {
  And,
  LessThan,
  LessThanOrEqual,
  MoreThan,
  MoreThanOrEqual,
  Not,
  type EntityManager,
  type Repository,
} from 'typeorm';
import { MasterKeys } from '../common/master-keys.js';
import { AuditSeal } from './audit-seal.entity.js';
import { NO_PREVIOUS, signSeal, type UnsignedSeal } from './seal.js';

/** From when to when, the end not included; missing: without a limit. */
export interface Period {
  since?: Date;
  until?: Date;
}

/** Without `event_ids`, which are long. */
const BRIEF = {
  number: true,
  kind: true,
  sealedAt: true,
  eventCount: true,
  root: true,
  purgedThrough: true,
  previous: true,
  hash: true,
  keyId: true,
  signature: true,
} as const;

@Injectable()
export class SealRepository {
  constructor(
    @InjectRepository(AuditSeal) private readonly rows: Repository<AuditSeal>,
    private readonly masterKeys: MasterKeys,
  ) {}

  /**
   * Signs the next link of the chain and appends it. Where two try at once the second is refused by the number, which is
   * the key.
   */
  async append(
    seal: Omit<UnsignedSeal, 'number' | 'previous'>,
    transaction: EntityManager,
  ): Promise<Omit<AuditSeal, 'eventIds'>> {
    const last = await this.head(transaction);
    const next = { ...seal, number: (last?.number ?? 0) + 1, previous: last?.hash ?? NO_PREVIOUS };
    const signed = signSeal(next, this.masterKeys);
    await transaction.insert(AuditSeal, signed);
    return signed;
  }

  /** The newest seal. */
  async head(transaction: EntityManager = this.rows.manager): Promise<AuditSeal | undefined> {
    const [last] = await transaction.find(AuditSeal, { select: BRIEF, order: { number: 'DESC' }, take: 1 });
    return last;
  }

  find(number: number): Promise<AuditSeal | null> {
    return this.rows.findOne({ select: BRIEF, where: { number } });
  }

  /** The seals of a period in their order, whole, after the one with number `after`, at most `limit`. */
  findNext(after: number, { since, until }: Period, limit: number): Promise<AuditSeal[]> {
    const limits = [...(since ? [MoreThanOrEqual(since)] : []), ...(until ? [LessThan(until)] : [])];
    return this.rows.find({
      where: { number: MoreThan(after), ...(limits.length > 0 && { sealedAt: And(...limits) }) },
      order: { number: 'ASC' },
      take: limit,
    });
  }

  /** The statements that something was purged, oldest first. */
  findPurges(): Promise<AuditSeal[]> {
    return this.rows.find({ where: { kind: 'purge' }, order: { number: 'ASC' } });
  }

  /** How many events the seals of a period cover. */
  async countEvents(period: Period): Promise<number> {
    const query = this.rows.createQueryBuilder('seal').select('SUM(seal.event_count)', 'events');
    query.where("seal.kind = 'events' AND seal.event_ids <> ''");
    if (period.since) query.andWhere('seal.sealed_at >= :since', period);
    if (period.until) query.andWhere('seal.sealed_at < :until', period);
    return Number((await query.getRawOne<{ events: string | null }>())?.events ?? 0);
  }

  /** The number of the seal that has this event; undefined when none has. Reads every list: for what has gone wrong. */
  async numberWith(packedId: string): Promise<number | undefined> {
    const seal = await this.rows
      .createQueryBuilder('seal')
      .select('seal.number')
      .where('seal.event_ids LIKE :pattern', { pattern: `%${packedId}%` })
      .getOne();
    return seal?.number;
  }

  /** The last seal that was made before an instant; undefined when there is none. */
  async lastBefore(instant: Date): Promise<number | undefined> {
    const [last] = await this.rows.find({
      select: { number: true },
      where: { sealedAt: LessThan(instant) },
      order: { number: 'DESC' },
      take: 1,
    });
    return last?.number;
  }

  /** The first seal after number `after`, up to number `last`, whose list of events is still there. */
  findListed(after: number, last: number): Promise<AuditSeal | null> {
    return this.rows.findOne({
      where: { number: And(MoreThan(after), LessThanOrEqual(last)), eventIds: Not('') },
      order: { number: 'ASC' },
    });
  }

  /** Forgets the list of a seal: with the right to change seals, which a server has not. */
  async clearList(number: number, transaction: EntityManager): Promise<void> {
    await transaction.update(AuditSeal, { number }, { eventIds: '' });
  }
}
