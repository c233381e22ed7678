import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, type DataSource } from 'typeorm';
import { MasterKeys } from '../common/master-keys.js';
import { AuditEvent } from './audit-event.entity.js';
import type { AuditSeal } from './audit-seal.entity.js';
import { EventWindow, type ReadEvent } from './event-window.js';
import { merkleRoot } from './merkle-tree.js';
import { hashOf, NO_PREVIOUS, timeOf, unpackIds } from './seal.js';
import { SealRepository, type Period, type SealRange } from './seal.repository.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

const SEALS_PAGE = 20;
const IDS_PAGE = 1_000;
/** So many are named; the others are counted. */
const MAX_FINDINGS = 20;

/**
 * `changed`: not what we wrote. `removed`: written and gone. `inserted`: not written by us. `reordered`: the list of a seal
 * is not the one that was sealed. `repeated`: put into the queue again after it was sealed. `unsealed`: written by us, and
 * its seal is gone. `chain`: the seals themselves were touched. `unknown_key`: signed under a master key that is not in
 * MASTER_KEY any more, so nobody can tell.
 */
export type FindingKind =
  'changed' | 'removed' | 'inserted' | 'reordered' | 'repeated' | 'unsealed' | 'chain' | 'unknown_key';

export interface Finding {
  kind: FindingKind;
  /** The number of the seal; undefined for an event that none has. */
  seal?: number;
  /** The id of the row of `audit_events`; undefined where it is about a seal. */
  event?: string;
}

/** A seal that was kept where nobody who can write to the database can write. */
export type KeptHead = Pick<AuditSeal, 'number' | 'hash'>;

export interface Verification {
  /** Events that are as they were written. */
  events: number;
  seals: number;
  /** Seals whose events were deleted by `audit:purge`. */
  purgedSeals: number;
  /** Events of the last seconds, which no seal covers yet. */
  waiting: number;
  /** When the first of those was written: where it is long ago, nobody seals. */
  waitingSince: Date | undefined;
  /** The last seal that was looked at. */
  head: KeptHead | undefined;
  /** The first 20 in the order of the trail. Empty: nothing was touched. */
  findings: Finding[];
  /** How many there are, with those that are not among the first. */
  findingCount: number;
}

/** Told the number of events that have been looked at, and how many are held in memory. */
export type OnProgress = (events: number, held: number) => void;

/** Shows whether the audit trail is what was written. Reads every event and every seal once and holds a few of them. */
@Injectable()
export class AuditVerifier {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly masterKeys: MasterKeys,
    private readonly seals: SealRepository,
  ) {}

  /** How many events `verify` will look at, about. */
  async count(period: Period): Promise<number> {
    return this.seals.countEvents(await this.seals.rangeOf(period));
  }

  /**
   * Verifies the seals that were made in a period, their chain, and the events that they cover.
   *
   * @param head a seal that was kept elsewhere: the chain must still have it.
   */
  async verify(period: Period, head?: KeptHead, onProgress: OnProgress = () => {}): Promise<Verification> {
    const range = await this.seals.rangeOf(period);
    const events = this.dataSource.getRepository(AuditEvent);
    const window = new EventWindow(events, this.masterKeys, await this.seals.lastEventBefore(range));
    const run = new VerificationRun(this.dataSource, this.seals, window, onProgress);
    return run.verify(range, head);
  }
}

class VerificationRun {
  private readonly result: Verification = {
    events: 0,
    seals: 0,
    purgedSeals: 0,
    waiting: 0,
    waitingSince: undefined,
    head: undefined,
    findings: [],
    findingCount: 0,
  };
  /** Where in the trail each finding is: an id of an event. */
  private readonly places = new Map<Finding, string>();
  /** The last seal of which the list or an event was touched. */
  private touchedSeal: number | undefined;
  private readonly unknownKeys = new Set<string>();
  private purgedThrough = 0;
  /** Of the present seal. */
  private firstEvent = '';
  /** Of the seals so far, by its id. */
  private lastEvent = '';

  constructor(
    private readonly dataSource: DataSource,
    private readonly seals: SealRepository,
    private readonly window: EventWindow,
    private readonly onProgress: OnProgress,
  ) {}

  async verify(range: SealRange, head: KeptHead | undefined): Promise<Verification> {
    if (head) await this.verifyHead(head);
    this.purgedThrough = await this.seals.purgedThrough();
    await this.verifySeals(range);
    await this.verifyRest(range);
    return this.result;
  }

  private compare(one: Finding, other: Finding): number {
    const [place = '', otherPlace = ''] = [this.places.get(one), this.places.get(other)];
    return place === otherPlace ? 0 : place < otherPlace ? -1 : 1;
  }

  private report(kind: FindingKind, about: Omit<Finding, 'kind'>): void {
    const finding = { kind, ...about };
    this.places.set(finding, about.event ?? this.firstEvent);
    if (kind !== 'unknown_key') this.touchedSeal = about.seal ?? this.touchedSeal;
    this.result.findingCount += 1;
    this.result.findings.push(finding);
    this.result.findings.sort((one, other) => this.compare(one, other));
    const last = this.result.findings[MAX_FINDINGS];
    if (!last) return;
    this.result.findings.pop();
    this.places.delete(last);
  }

  /** Keeps in mind where in the trail we are. */
  private enter(ids: readonly string[]): void {
    this.firstEvent = ids[0] ?? this.firstEvent;
    this.lastEvent = ids.reduce((one, other) => (other > one ? other : one), this.lastEvent);
  }

  private async verifyHead({ number, hash }: KeptHead): Promise<void> {
    const kept = await this.seals.find(number);
    if (!kept || kept.hash !== hash || hashOf(kept) !== hash) this.report('chain', { seal: number });
  }

  private async verifySeals({ first, last }: SealRange): Promise<void> {
    let previous = (await this.seals.find(first - 1)) ?? undefined;
    // The instants of its neighbours say where a period begins and ends, so those have to be ours as well.
    if (previous) this.verifySignature(previous);
    for (let after = first - 1; ;) {
      const page = await this.seals.findNext(after, last, SEALS_PAGE);
      for (const seal of page) {
        const ids = unpackIds(seal.eventIds);
        this.enter(ids);
        this.verifyLink(seal, previous);
        await this.verifyEvents(seal, ids);
        previous = seal;
        this.result.head = { number: seal.number, hash: seal.hash };
      }
      if (page.length < SEALS_PAGE) break;
      after = previous?.number ?? after;
    }
    const next = last === undefined ? null : await this.seals.find(last + 1);
    if (next) this.verifySignature(next);
  }

  private verifyLink(seal: AuditSeal, previous: AuditSeal | undefined): void {
    this.result.seals += 1;
    const isNext = seal.number === (previous?.number ?? 0) + 1 && seal.previous === (previous?.hash ?? NO_PREVIOUS);
    this.verifySignature(seal, isNext);
  }

  private verifySignature(seal: AuditSeal, isNext = true): void {
    const isOurs = this.seals.isOurs(seal);
    if (isOurs === false || !isNext) this.report('chain', { seal: seal.number });
    // Up to the newest statement of a purge the hashes suffice: it was signed over all of them.
    if (isOurs !== undefined || seal.number <= this.purgedThrough || this.unknownKeys.has(seal.keyId)) return;
    this.unknownKeys.add(seal.keyId);
    this.report('unknown_key', { seal: seal.number });
  }

  private async verifyEvents(seal: AuditSeal, ids: readonly string[]): Promise<void> {
    const { events, again } = await this.window.claim(ids);
    if (events.size < seal.eventCount && seal.number > this.purgedThrough) {
      this.purgedThrough = await this.seals.purgedThrough(); // a purge may have begun since we looked
    }
    const isPurged = seal.number <= this.purgedThrough;
    if (isPurged && ids.length === 0) {
      if (seal.kind === 'events') this.result.purgedSeals += 1;
      return;
    }
    if (ids.length !== seal.eventCount) this.report('chain', { seal: seal.number });
    for (const id of ids) this.verifyEvent(events.get(id), id, seal, isPurged);
    await this.verifyClaimedOnce(seal, again);
    this.verifyRoot(seal, ids, events);
    this.onProgress(this.result.events, this.window.size);
    await this.settle(this.window.takeOverdue(this.firstEvent));
  }

  private verifyEvent(event: ReadEvent | undefined, id: string, seal: AuditSeal, isPurged: boolean): void {
    const about = { seal: seal.number, event: id };
    if (!event) {
      if (!isPurged) this.report('removed', about);
    } else if (event.isAuthentic) this.result.events += 1;
    // Under a key that is not known no event is authentic, and the root alone can tell.
    else if (!this.unknownKeys.has(seal.keyId)) this.report('changed', about);
  }

  /** @param again the events that have been read and are not waiting for a claim any more, or never did in this run. */
  private async verifyClaimedOnce(seal: AuditSeal, again: string[]): Promise<void> {
    if (this.result.findingCount >= MAX_FINDINGS) return;
    const earlier = await this.seals.numbersOf(again, seal.number);
    for (const event of earlier.keys()) this.report('repeated', { seal: seal.number, event });
  }

  /** When each event is ours and the seal is, it is the list between them that was touched. */
  private verifyRoot(seal: AuditSeal, ids: readonly string[], events: Map<string, ReadEvent>): void {
    if (this.touchedSeal === seal.number) return;
    const leaves = ids.flatMap((id) => events.get(id)?.leaf ?? []);
    const isWhole = leaves.length === ids.length; // else a purge is under way
    if (!isWhole || merkleRoot(leaves).toString('base64url') === seal.root) return;
    const misplaced = ids.find((id, i) => i > 0 && id <= (ids[i - 1] as string));
    const about = { seal: seal.number, ...(misplaced !== undefined && { event: misplaced }) };
    this.report(this.unknownKeys.has(seal.keyId) ? 'changed' : 'reordered', about);
  }

  /** What is left when every seal has had its events. Behind the end of a period the trail goes on. */
  private async verifyRest({ last }: SealRange): Promise<void> {
    for await (const unclaimed of this.window.takeRest(last === undefined ? undefined : this.lastEvent)) {
      await this.settle(unclaimed);
    }
    if (last !== undefined) return;
    for (const event of await this.waitingInVain()) this.report('removed', { event });
  }

  /** Says what events are that no seal has claimed. */
  private async settle(unclaimed: readonly ReadEvent[]): Promise<void> {
    for (let i = 0; i < unclaimed.length; i += IDS_PAGE) {
      const page = unclaimed.slice(i, i + IDS_PAGE);
      const waiting = await this.waitingAmong(page.map(({ id }) => id));
      // Sealed since, or by a seal outside of the period. Any number of rows can be inserted: the look is for the first.
      const isSought = ({ id, isAuthentic }: ReadEvent) =>
        !waiting.has(id) && (isAuthentic || this.result.findingCount < MAX_FINDINGS);
      const seals = await this.seals.numbersOf(page.filter(isSought).map(({ id }) => id));
      const gone = await this.goneAmong(page.filter(({ id }) => !waiting.has(id) && !seals.has(id)));
      for (const event of page) {
        if (!gone.has(event.id)) this.settleOne(event, waiting.has(event.id), seals.get(event.id));
      }
    }
  }

  private settleOne({ id, isAuthentic }: ReadEvent, isWaiting: boolean, seal: number | undefined): void {
    if (!isAuthentic && seal !== undefined) this.report('changed', { seal, event: id });
    else if (!isAuthentic) this.report(isWaiting ? 'changed' : 'inserted', { event: id });
    else if (isWaiting) this.countWaiting(id);
    else if (seal === undefined) this.report('unsealed', { event: id });
  }

  private countWaiting(id: string): void {
    this.result.waiting += 1;
    const since = new Date(timeOf(id));
    if (!this.result.waitingSince || since < this.result.waitingSince) this.result.waitingSince = since;
  }

  /** Those that a purge has deleted since they were read. */
  private async goneAmong(events: readonly ReadEvent[]): Promise<Set<string>> {
    const ids = events.map(({ id }) => id);
    if (ids.length === 0) return new Set();
    const rows = await this.dataSource.getRepository(AuditEvent).find({ select: { id: true }, where: { id: In(ids) } });
    const there = new Set(rows.map(({ id }) => id));
    return new Set(ids.filter((id) => !there.has(id)));
  }

  private async waitingAmong(ids: string[]): Promise<Set<string>> {
    const waiting = await this.dataSource.getRepository(UnsealedEvent).findBy({ eventId: In(ids) });
    return new Set(waiting.map(({ eventId }) => eventId));
  }

  /** Events that wait for their seal and are gone. */
  private async waitingInVain(): Promise<string[]> {
    const rows = await this.dataSource
      .getRepository(UnsealedEvent)
      .createQueryBuilder('waiting')
      .leftJoin(AuditEvent, 'event', 'event.id = waiting.event_id')
      .select('waiting.event_id', 'id')
      .where('event.id IS NULL')
      .limit(MAX_FINDINGS)
      .getRawMany<{ id: string }>();
    return rows.map(({ id }) => id);
  }
}
