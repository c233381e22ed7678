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
  type FindOptionsWhere,
  type Repository,
} from 'typeorm';
import { MasterKeys } from '../common/master-keys.js';
import { AuditSeal } from './audit-seal.entity.js';
import { hashOf, isSignedByUs, NO_PREVIOUS, signSeal, unpackIds, type UnsignedSeal } from './seal.js';

/** From when to when, the end not included; missing: without a limit. */
export interface Period {
  since?: Date;
  until?: Date;
}

/** From which to which number, both included; without a last one: to the end of the chain. */
export interface SealRange {
  first: number;
  last: number | undefined;
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

const LISTS_PAGE = 100;

@Injectable()
export class SealRepository {
  constructor(
    @InjectRepository(AuditSeal) private readonly rows: Repository<AuditSeal>,
    private readonly masterKeys: MasterKeys,
  ) {}

  /**
   * Signs the next link of the chain and appends it. Where two try at once the second is refused by the number, which is
   * the key.
   *
   * @returns the link before it.
   */
  async append(
    seal: Omit<UnsignedSeal, 'number' | 'previous'>,
    transaction: EntityManager,
  ): Promise<AuditSeal | undefined> {
    const last = await this.head(transaction);
    const next = { ...seal, number: (last?.number ?? 0) + 1, previous: last?.hash ?? NO_PREVIOUS };
    if (!Number.isSafeInteger(next.number)) throw new Error('the last seal is not ours: no number comes after it');
    await transaction.insert(AuditSeal, signSeal(next, this.masterKeys));
    return last;
  }

  /** Whether a seal is as we signed it; undefined when the master key that did is not in the list any more. */
  isOurs(seal: AuditSeal): boolean | undefined {
    return seal.hash === hashOf(seal) && isSignedByUs(seal, this.masterKeys);
  }

  /** The newest seal. */
  async head(transaction: EntityManager = this.rows.manager): Promise<AuditSeal | undefined> {
    const [last] = await transaction.find(AuditSeal, { select: BRIEF, order: { number: 'DESC' }, take: 1 });
    return last;
  }

  find(number: number): Promise<AuditSeal | null> {
    return this.rows.findOne({ select: BRIEF, where: { number } });
  }

  /** The seals that were made in a period. Their clocks may differ by a little, so a seal between two of them is one of them. */
  async rangeOf({ since, until }: Period): Promise<SealRange> {
    const first = since ? await this.edge({ sealedAt: MoreThanOrEqual(since) }, 'ASC') : 1;
    const last = until && ((await this.edge({ sealedAt: LessThan(until) }, 'DESC')) ?? 0);
    return { first: first ?? ((await this.head())?.number ?? 0) + 1, last };
  }

  /** The seals after number `after` up to number `last` in their order, whole, at most `limit`. */
  findNext(after: number, last: number | undefined, limit: number): Promise<AuditSeal[]> {
    const numbers = [MoreThan(after), ...(last === undefined ? [] : [LessThanOrEqual(last)])];
    return this.rows.find({ where: { number: And(...numbers) }, order: { number: 'ASC' }, take: limit });
  }

  /**
   * Up to which seal the events were deleted on purpose: what statements say that we have signed.
   *
   * @param keyId only statements that are signed under this master key.
   */
  async purgedThrough(keyId?: string): Promise<number> {
    const where = { kind: 'purge', ...(keyId !== undefined && { keyId }) } as const;
    const statements = await this.rows.find({ select: BRIEF, where });
    return Math.max(0, ...statements.filter((seal) => this.isOurs(seal)).map((seal) => seal.purgedThrough ?? 0));
  }

  /** How many events the seals cover, without those that were purged. */
  async countEvents({ first, last }: SealRange): Promise<number> {
    const from = Math.max(first, (await this.purgedThrough()) + 1);
    const query = this.rows.createQueryBuilder('seal').select('SUM(seal.event_count)', 'events');
    query.where('seal.number >= :from', { from });
    if (last !== undefined) query.andWhere('seal.number <= :last', { last });
    return Number((await query.getRawOne<{ events: string | null }>())?.events ?? 0);
  }

  /**
   * Where the events of a range begin: behind the last one of the seal before it, or at its own first where that is
   * earlier. So what was smuggled in between two ranges belongs to the later.
   *
   * @returns the id of an event; empty: with the first event there is.
   */
  async lastEventBefore({ first, last }: SealRange): Promise<string> {
    const [before] = await this.rows.find({
      where: { number: LessThan(first), eventIds: Not('') },
      order: { number: 'DESC' },
      take: 1,
    });
    if (!before) return '';
    const [own] = await this.findNext(first - 1, last, 1);
    const end = unpackIds(before.eventIds).sort().at(-1) ?? '';
    const begin = own && unpackIds(own.eventIds).sort()[0];
    return begin !== undefined && begin < end ? begin : end;
  }

  /**
   * The numbers of the seals that have these events, by the events' ids. Looks through the whole chain, newest first.
   *
   * @param end the number of the seal that it begins in front of.
   */
  async numbersOf(events: readonly string[], end = Number.MAX_SAFE_INTEGER): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    const sought = new Set(events);
    for (let before = end; sought.size > 0;) {
      const page = await this.rows.find({
        select: { number: true, eventIds: true },
        where: { number: LessThan(before) },
        order: { number: 'DESC' },
        take: LISTS_PAGE,
      });
      for (const seal of page) {
        for (const id of unpackIds(seal.eventIds)) if (sought.delete(id)) numbers.set(id, seal.number);
      }
      if (page.length < LISTS_PAGE) break;
      before = page.at(-1)?.number ?? 0;
    }
    return numbers;
  }

  /**
   * The last seal of which it and all before it were made before an instant; 0 when there is none. One that a clock has
   * dated back takes nothing with it.
   */
  async lastBefore(instant: Date): Promise<number> {
    const first = await this.edge({ sealedAt: MoreThanOrEqual(instant) }, 'ASC');
    return first === undefined ? ((await this.head())?.number ?? 0) : first - 1;
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

  /** The lowest or the highest number among seals. */
  private async edge(where: FindOptionsWhere<AuditSeal>, order: 'ASC' | 'DESC'): Promise<number | undefined> {
    const [seal] = await this.rows.find({ select: { number: true }, where, order: { number: order }, take: 1 });
    return seal?.number;
  }
}
