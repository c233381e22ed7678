import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { MoreThan, type DataSource } from 'typeorm';
import { MasterKeys } from '../common/master-keys.js';
import { AuditEvent } from './audit-event.entity.js';
import type { AuditSeal } from './audit-seal.entity.js';
import { isAuthentic } from './event-mac.js';
import { merkleRoot } from './merkle-tree.js';
import { hashOf, isSignedByUs, leafOf, NO_PREVIOUS, packIds, unpackIds } from './seal.js';
import { SealRepository, type Period } from './seal.repository.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

const EVENTS_PAGE = 1_000;
const SEALS_PAGE = 20;
/** Events that were read and that no seal has asked for yet: late ones in honest times, smuggled ones otherwise. */
const MAX_PENDING = 20_000;
/** Beyond so many it is not worth to go on. */
const MAX_FINDINGS = 20;

/**
 * `changed`: the row is not what we wrote. `removed`: sealed and gone. `inserted`: not written by us. `reordered`: not
 * where its seal had it. `unsealed`: written by us, and its seal is gone. `chain`: the seals themselves were touched.
 * `unknown_key`: signed under a master key that is not in MASTER_KEY any more, so nobody can tell.
 */
export type FindingKind = 'changed' | 'removed' | 'inserted' | 'reordered' | 'unsealed' | 'chain' | 'unknown_key';

export interface Finding {
  kind: FindingKind;
  /** The number of the seal; undefined for an event that none has. */
  seal?: number;
  /** The id of the row of `audit_events`; undefined where it is about a seal. */
  event?: string;
}

export interface Verification {
  /** Events that are as they were written. */
  events: number;
  seals: number;
  /** Seals whose events were deleted by `audit:purge`. */
  purgedSeals: number;
  /** Events of the last seconds, which no seal covers yet. */
  waiting: number;
  /** The last seal that was looked at. */
  head: Pick<AuditSeal, 'number' | 'hash'> | undefined;
  /** The first first; at most 20. Empty: nothing was touched. */
  findings: Finding[];
}

export interface KeptHead {
  number: number;
  hash: string;
}

interface PendingEvent {
  leaf: Buffer;
  isAuthentic: boolean;
}

/** Shows whether the audit trail is what was written. Reads every event once, in order, and holds a page of them. */
@Injectable()
export class AuditVerifier {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly masterKeys: MasterKeys,
    private readonly seals: SealRepository,
  ) {}

  /** How many events `verify` will look at, about. */
  count(period: Period): Promise<number> {
    return this.seals.countEvents(period);
  }

  /**
   * Verifies the seals of a period, their chain, and the events that they cover.
   *
   * @param head a seal that was kept elsewhere: the chain must still have it.
   * @param onProgress told the number of events that have been looked at.
   */
  async verify(
    period: Period,
    head?: KeptHead,
    onProgress: (events: number) => void = () => {},
  ): Promise<Verification> {
    const run = new VerificationRun(this.dataSource, this.masterKeys, this.seals, onProgress);
    return run.verify(period, head);
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
  private readonly pending = new Map<string, PendingEvent>();
  /** The first and the last event of the seals so far, by their ids. */
  private begin: string | undefined;
  private end = '';
  private lastRead: string | undefined;
  private isAtEnd = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly masterKeys: MasterKeys,
    private readonly seals: SealRepository,
    private readonly onProgress: (events: number) => void,
  ) {}

  async verify(period: Period, head: KeptHead | undefined): Promise<Verification> {
    if (head) await this.verifyHead(head);
    const purgedThrough = await this.purgedThrough();
    if (period.since === undefined) this.begin = '';
    let previous: AuditSeal | undefined;
    let after = 0;
    for (;;) {
      const page = await this.seals.findNext(after, period, SEALS_PAGE);
      for (const seal of page) {
        await this.verifyLink(seal, previous, period);
        await this.verifyEvents(seal, purgedThrough);
        previous = seal;
        if (this.isEnough) return this.result;
      }
      after = page.at(-1)?.number ?? after;
      if (page.length < SEALS_PAGE) break;
    }
    this.result.head = previous && { number: previous.number, hash: previous.hash };
    await this.verifyRest(period);
    this.result.findings.sort((one, other) => ((one.event ?? '') < (other.event ?? '') ? -1 : 1));
    return this.result;
  }

  private get isEnough(): boolean {
    return this.result.findings.length >= MAX_FINDINGS;
  }

  private report(kind: FindingKind, about: Omit<Finding, 'kind'>): void {
    if (!this.isEnough) this.result.findings.push({ kind, ...about });
  }

  private async verifyHead({ number, hash }: KeptHead): Promise<void> {
    const kept = await this.seals.find(number);
    if (kept?.hash !== hash) this.report('chain', { seal: number });
  }

  /** Up to which seal events may be missing: a signed statement says so. */
  private async purgedThrough(): Promise<number> {
    let through = 0;
    for (const purge of await this.seals.findPurges()) {
      const isOurs = purge.hash === hashOf(purge) && isSignedByUs(purge, this.masterKeys);
      if (isOurs) through = Math.max(through, purge.purgedThrough ?? 0);
    }
    return through;
  }

  private async verifyLink(seal: AuditSeal, before: AuditSeal | undefined, { since }: Period): Promise<void> {
    this.result.seals += 1;
    const { number } = seal;
    const isFirst = before === undefined && since === undefined;
    const previous = before ?? (isFirst ? undefined : await this.seals.find(number - 1));
    const expected = previous ? previous.hash : NO_PREVIOUS;
    const isNext = number === (previous ? previous.number : 0) + 1;
    if (!isNext || seal.previous !== expected || seal.hash !== hashOf(seal)) this.report('chain', { seal: number });
    const isOurs = isSignedByUs(seal, this.masterKeys);
    if (isOurs === undefined) this.report('unknown_key', { seal: number });
    else if (!isOurs) this.report('chain', { seal: number });
  }

  private async verifyEvents(seal: AuditSeal, purgedThrough: number): Promise<void> {
    if (seal.kind === 'purge') return;
    const isPurged = seal.number <= purgedThrough;
    if (isPurged && seal.eventIds === '') {
      this.result.purgedSeals += 1;
      return;
    }
    const ids = unpackIds(seal.eventIds);
    this.begin ??= ids[0] ?? '';
    this.end = ids.reduce((one, other) => (other > one ? other : one), this.end);
    await this.readThrough(this.end);
    if (this.pending.size > MAX_PENDING) await this.settlePending((event) => event < (ids[0] ?? ''));

    const leaves: Buffer[] = [];
    for (const [i, id] of ids.entries()) {
      const leaf = await this.verifyEvent(id, ids[i - 1], seal.number, isPurged);
      if (leaf) leaves.push(leaf);
    }
    const isWhole = leaves.length === ids.length;
    const isSame = merkleRoot(leaves).toString('base64url') === seal.root;
    if (ids.length !== seal.eventCount || (isWhole && !isSame)) this.reportList(seal.number, ids[0]);
    this.onProgress(this.result.events);
  }

  /** The rows are ours and the root is, so it is the list between them that was touched; unless a row was named already. */
  private reportList(seal: number, event: string | undefined): void {
    if (this.result.findings.some((finding) => finding.seal === seal)) return;
    this.report('reordered', { seal, ...(event !== undefined && { event }) });
  }

  /** @returns its leaf; undefined when it is missing. */
  private async verifyEvent(
    id: string,
    idBefore: string | undefined,
    seal: number,
    isPurged: boolean,
  ): Promise<Buffer | undefined> {
    // One that was committed late stands before the place where we are.
    const event = this.pending.get(id) ?? (await this.readOne(id));
    this.pending.delete(id);
    if (!event) {
      if (!isPurged) this.report('removed', { seal, event: id });
      return undefined;
    }
    if (idBefore !== undefined && id <= idBefore) this.report('reordered', { seal, event: id });
    if (event.isAuthentic) this.result.events += 1;
    else this.report('changed', { seal, event: id });
    return event.leaf;
  }

  /** Reads on until the event with this id, or where it would be. */
  private async readThrough(id: string): Promise<void> {
    this.lastRead ??= this.begin?.slice(0, -1); // what comes right before it
    while (!this.isAtEnd && (this.lastRead ?? '') < id) await this.readPage();
  }

  private async readPage(): Promise<void> {
    const page = await this.dataSource.getRepository(AuditEvent).find({
      where: { ...(this.lastRead !== undefined && { id: MoreThan(this.lastRead) }) },
      order: { id: 'ASC' },
      take: EVENTS_PAGE,
    });
    for (const event of page) this.pending.set(event.id, this.pendingOf(event));
    this.lastRead = page.at(-1)?.id ?? this.lastRead;
    this.isAtEnd = page.length < EVENTS_PAGE;
  }

  private async readOne(id: string): Promise<PendingEvent | undefined> {
    const event = await this.dataSource.getRepository(AuditEvent).findOneBy({ id });
    return event ? this.pendingOf(event) : undefined;
  }

  private pendingOf(event: AuditEvent): PendingEvent {
    return { leaf: leafOf(event.id, event), isAuthentic: isAuthentic(event, this.masterKeys) };
  }

  /** What is left when every seal has had its events. The trail goes on behind a period that has an end. */
  private async verifyRest({ since, until }: Period): Promise<void> {
    const isPart = since !== undefined || until !== undefined;
    const isPlaced = !isPart || this.begin !== undefined; // else no seal says where in the trail the period is
    const isInside = (event: string) => until === undefined || event <= this.end;
    await this.settlePending(isInside);
    while (isPlaced && until === undefined && !this.isAtEnd && !this.isEnough) {
      await this.readPage();
      await this.settlePending(isInside);
    }
  }

  /** Says what an event is that no seal has asked for. */
  private async settlePending(isDue: (event: string) => boolean): Promise<void> {
    for (const [event, { isAuthentic: isOurs }] of this.pending) {
      if (this.isEnough) return;
      if (!isDue(event)) continue;
      this.pending.delete(event);
      if (!isOurs) this.report('inserted', { event });
      else if (await this.dataSource.getRepository(UnsealedEvent).existsBy({ eventId: event }))
        this.result.waiting += 1;
      // Sealed since, or later than its neighbours, or by a seal outside of the period.
      else if ((await this.seals.numberWith(packIds([event]))) === undefined) this.report('unsealed', { event });
    }
  }
}
