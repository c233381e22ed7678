import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, type DataSource } from 'typeorm';
import { MasterKeys } from '../common/master-keys.js';
import { AuditEvent } from './audit-event.entity.js';
import type { AuditSeal } from './audit-seal.entity.js';
import { EventWindow, type ReadEvent } from './event-window.js';
import { merkleRoot } from './merkle-tree.js';
import { hashOf, isSignedByUs, NO_PREVIOUS, unpackIds } from './seal.js';
import { SealRepository, type Period, type SealRange } from './seal.repository.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

const SEALS_PAGE = 20;
const IDS_PAGE = 1_000;
/** Beyond so many it is not worth to go on. */
export const MAX_FINDINGS = 20;

/**
 * `changed`: not what we wrote. `removed`: written and gone. `inserted`: not written by us. `reordered`: the list of a seal
 * is not the one that was sealed. `unsealed`: written by us, and its seal is gone. `chain`: the seals themselves were
 * touched. `unknown_key`: signed under a master key that is not in MASTER_KEY any more, so nobody can tell.
 */
export type FindingKind = 'changed' | 'removed' | 'inserted' | 'reordered' | 'unsealed' | 'chain' | 'unknown_key';

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
  /** The last seal that was looked at. */
  head: KeptHead | undefined;
  /** At most 20, in the order of the trail. Empty: nothing was touched. */
  findings: Finding[];
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
    const run = new VerificationRun(this.dataSource, this.masterKeys, this.seals, window, onProgress);
    return run.verify(range, head);
  }
}

class VerificationRun {
  private readonly result: Verification = {
    events: 0,
    seals: 0,
    purgedSeals: 0,
    waiting: 0,
    head: undefined,
    findings: [],
  };
  /** Where in the trail each finding is: an id of an event. */
  private readonly places = new Map<Finding, string>();
  private readonly unknownKeys = new Set<string>();
  private purgedThrough = 0;
  /** Of the present seal. */
  private firstEvent = '';
  /** Of the seals so far, by its id. */
  private lastEvent = '';

  constructor(
    private readonly dataSource: DataSource,
    private readonly masterKeys: MasterKeys,
    private readonly seals: SealRepository,
    private readonly window: EventWindow,
    private readonly onProgress: OnProgress,
  ) {}

  async verify(range: SealRange, head: KeptHead | undefined): Promise<Verification> {
    if (head) await this.verifyHead(head);
    this.purgedThrough = await this.seals.purgedThrough();
    await this.verifySeals(range);
    if (!this.isEnough) await this.verifyRest(range);
    this.result.findings.sort((one, other) => this.compare(one, other));
    return this.result;
  }

  private compare(one: Finding, other: Finding): number {
    const [place = '', otherPlace = ''] = [this.places.get(one), this.places.get(other)];
    return place === otherPlace ? 0 : place < otherPlace ? -1 : 1;
  }

  private get isEnough(): boolean {
    return this.result.findings.length >= MAX_FINDINGS;
  }

  private report(kind: FindingKind, about: Omit<Finding, 'kind'>): void {
    if (this.isEnough) return;
    const finding = { kind, ...about };
    this.places.set(finding, about.event ?? this.firstEvent);
    this.result.findings.push(finding);
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
    for (let after = first - 1; ;) {
      const page = await this.seals.findNext(after, last, SEALS_PAGE);
      for (const seal of page) {
        const ids = unpackIds(seal.eventIds);
        this.enter(ids);
        this.verifyLink(seal, previous);
        await this.verifyEvents(seal, ids);
        if (this.isEnough) return;
        previous = seal;
        this.result.head = { number: seal.number, hash: seal.hash };
      }
      if (page.length < SEALS_PAGE) return;
      after = previous?.number ?? after;
    }
  }

  private verifyLink(seal: AuditSeal, previous: AuditSeal | undefined): void {
    this.result.seals += 1;
    const isNext = seal.number === (previous?.number ?? 0) + 1 && seal.previous === (previous?.hash ?? NO_PREVIOUS);
    const isOurs = isSignedByUs(seal, this.masterKeys);
    if (!isNext || seal.hash !== hashOf(seal) || isOurs === false) this.report('chain', { seal: seal.number });
    if (isOurs !== undefined || this.unknownKeys.has(seal.keyId)) return;
    this.unknownKeys.add(seal.keyId);
    this.report('unknown_key', { seal: seal.number });
  }

  private async verifyEvents(seal: AuditSeal, ids: readonly string[]): Promise<void> {
    const events = await this.window.claim(ids);
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

  /** When each event is ours and the seal is, it is the list between them that was touched. */
  private verifyRoot(seal: AuditSeal, ids: readonly string[], events: Map<string, ReadEvent>): void {
    if (this.result.findings.some((finding) => finding.seal === seal.number && finding.kind !== 'unknown_key')) return;
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
      if (this.isEnough) return;
    }
    if (last !== undefined) return;
    for (const event of await this.waitingInVain()) this.report('removed', { event });
  }

  /** Says what events are that no seal has claimed. */
  private async settle(unclaimed: readonly ReadEvent[]): Promise<void> {
    for (let i = 0; i < unclaimed.length && !this.isEnough; i += IDS_PAGE) {
      const page = unclaimed.slice(i, i + IDS_PAGE);
      const waiting = await this.waitingAmong(page.map(({ id }) => id));
      const others = page.filter(({ id }) => !waiting.has(id));
      // Sealed since, or by a seal outside of the period.
      const seals = await this.seals.numbersOf(others.map(({ id }) => id));
      for (const event of page) this.settleOne(event, waiting.has(event.id), seals.get(event.id));
    }
  }

  private settleOne({ id, isAuthentic }: ReadEvent, isWaiting: boolean, seal: number | undefined): void {
    if (!isAuthentic && seal !== undefined) this.report('changed', { seal, event: id });
    else if (!isAuthentic) this.report(isWaiting ? 'changed' : 'inserted', { event: id });
    else if (isWaiting) this.result.waiting += 1;
    else if (seal === undefined) this.report('unsealed', { event: id });
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
