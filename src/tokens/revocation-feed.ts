import { Injectable, Logger } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Coalesced } from '../common/coalesced.js';
import { Unavailable } from '../common/domain-error.js';
import { withinTime } from '../common/within-time.js';
import { RevocationFeedRepository, type FeedEntry } from './revocation-feed.repository.js';

/** Between two looks at the table while somebody waits for news, in milliseconds: what a verifier's bound is made of. */
const INTERVAL_MS = 80;
/** The same while nobody does; whoever asks is told of a look that is no older than the interval above. */
const IDLE_INTERVAL_MS = 1_000;
/** So many entries are kept for those who ask for what is new. Who is further behind gets everything. */
const KEPT = 10_000;
/** An answer is never made of what was read longer ago, however slow the looks are, in milliseconds. */
const MAX_AGE_MS = 1_000;
const LOOK_TIMEOUT_MS = 3_000;
/** Between two looks at how far the feed has come at all, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000;
const RETRY_AFTER_SECONDS = 1;

/** A place in the feed, as text: `<epoch>.<position>`. Of two of the same epoch the one with the greater position is later. */
export type Cursor = string;

/** What was new after a cursor; or, where that is not known any more, everything that is live. */
export interface FeedPage {
  cursor: Cursor;
  /** When the table was read. */
  asOf: Date;
  isFull: boolean;
  entries: FeedEntry[];
}

/**
 * Follows the table of revocations: one query every 80 ms, however many wait for news, and one a second when nobody does. What
 * it has read it keeps, so that nobody's question costs a query but the one for everything.
 */
@Injectable()
export class RevocationFeed {
  private readonly logger = new Logger(RevocationFeed.name);
  private readonly looks = new Coalesced(() => this.look());
  private readonly fullReads = new Coalesced(() => this.readEverything());
  private readonly waiting = new Set<() => void>();
  private epoch = '';
  private head = 0;
  /** What came after this position is in `recent`. */
  private floor = 0;
  private recent: FeedEntry[] = [];
  private asOf = new Date(0);
  /** Everything as of the last look, once somebody has asked for it. */
  private full: FeedPage | undefined;
  /** By the monotonic clock, in milliseconds. */
  private lookedAt = -Infinity;
  private checkedAt = -Infinity;
  private ownNews = 0;
  /** When the last look that nobody asked for began, by the monotonic clock. */
  private followedAt = -Infinity;
  /** Until the next one; undefined while it is under way. */
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  private isFailing = false;

  constructor(
    private readonly rows: RevocationFeedRepository,
    private readonly clock: Clock,
  ) {}

  /** Begins to follow, the first look after so many milliseconds. */
  start(afterMs = INTERVAL_MS): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.follow(), afterMs);
    this.timer.unref();
  }

  /** Lets go of everybody who waits. */
  stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.wake();
    return Promise.resolve();
  }

  /** This instance has revoked something: whoever asks it from now on is told. */
  noteNews(): void {
    this.lookedAt = -Infinity;
    this.ownNews += 1;
  }

  /** How many requests wait for news. */
  get waiters(): number {
    return this.waiting.size;
  }

  /** The place behind everything that was committed before this call. @throws Unavailable */
  async cursor(): Promise<Cursor> {
    await this.catchUp();
    return this.at(this.head);
  }

  /**
   * What came after a cursor. Without one, or after one that is not of this feed or too long ago: everything that is live.
   *
   * @throws Unavailable when the table was not read within the last second.
   */
  async read(since?: Cursor): Promise<FeedPage> {
    const position = await this.locate(since);
    const { head, asOf } = this;
    if (position !== undefined && position >= this.floor && position <= head) {
      const entries = this.recent.filter((entry) => entry.position > position && entry.expiresAt > asOf);
      return { cursor: this.at(head), asOf, isFull: false, entries };
    }
    return this.fullReads.run();
  }

  /**
   * Waits until there is something after a cursor, at most `waitMs`; not at all where `read` would answer with more. Ends
   * early when the instance stops, and when `signal` says that nobody listens any more.
   */
  async waitFor(since: Cursor | undefined, waitMs: number, signal: AbortSignal): Promise<void> {
    await this.locate(since);
    const hasNothingNew = () => since !== undefined && this.positionOf(since) === this.head;
    const deadline = performance.now() + waitMs;
    while (!this.isStopped && !signal.aborted && hasNothingNew()) {
      const left = deadline - performance.now();
      if (left <= 0) return;
      await this.news(left, signal);
    }
  }

  /** How many revocations a cursor is behind; all of them when it is not one of this feed. */
  lagOf(cursor: Cursor | undefined): number {
    return Math.max(0, this.head - (this.positionOf(cursor) ?? 0));
  }

  private news(waitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done);
      this.waiting.add(done);
      if (this.waiting.size === 1) this.hasten();
    });
  }

  /** Somebody waits: goes on at the pace for that, if it is not looking just now. */
  private hasten(): void {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.goOn();
  }

  /** At the pace for those who wait, or for nobody. */
  private goOn(): void {
    const intervalMs = this.waiting.size > 0 ? INTERVAL_MS : IDLE_INTERVAL_MS;
    this.start(Math.max(0, this.followedAt + intervalMs - performance.now()));
  }

  private wake(): void {
    for (const done of [...this.waiting]) done();
  }

  private at(position: number): Cursor {
    return `${this.epoch}.${position}`;
  }

  private positionOf(cursor: Cursor | undefined): number | undefined {
    const [, epoch, position] = /^([\w-]{8})\.(0|[1-9]\d{0,14})$/.exec(cursor ?? '') ?? [];
    return epoch === this.epoch ? Number(position) : undefined;
  }

  /** The position of a cursor in what was read lately; undefined when it is not one of this feed. */
  private async locate(cursor: Cursor | undefined): Promise<number | undefined> {
    await this.freshen();
    const position = this.positionOf(cursor);
    if (position === undefined || position <= this.head) return position;
    await this.catchUp(); // given by an instance that is ahead of us
    return this.positionOf(cursor);
  }

  private async freshen(): Promise<void> {
    const maxAgeMs = this.waiting.size > 0 ? MAX_AGE_MS : INTERVAL_MS;
    if (performance.now() - this.lookedAt > maxAgeMs) await this.catchUp();
  }

  private async catchUp(): Promise<void> {
    try {
      await withinTime(this.looks.run(), LOOK_TIMEOUT_MS);
    } catch (error) {
      throw new Unavailable('revocation_feed', RETRY_AFTER_SECONDS, error);
    }
  }

  /** One at a time, and one for all who ask between two looks: it may be much. */
  private async readEverything(): Promise<FeedPage> {
    await this.freshen();
    if (this.full) return this.full;
    const { head, asOf } = this;
    const page = { cursor: this.at(head), asOf, isFull: true, entries: await this.rows.findLive(head, asOf) };
    if (this.asOf === asOf) this.full = page;
    return page;
  }

  private async follow(): Promise<void> {
    this.timer = undefined;
    this.followedAt = performance.now();
    try {
      await this.looks.run();
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) this.logger.warn({ event: 'background_work_failed', reason: 'revocation_feed', err: error });
      this.isFailing = true;
    }
    this.goOn();
  }

  private async look(): Promise<void> {
    if (performance.now() - this.checkedAt > CHECK_INTERVAL_MS) await this.check();
    const asOf = this.clock.now();
    const lookedAt = performance.now();
    const { head, ownNews } = this;
    for (let isMore = true; isMore;) {
      const { entries, hasUnplaced } = await this.rows.findAfter(this.head, KEPT);
      this.keep(entries);
      if (hasUnplaced) await this.rows.place();
      isMore = hasUnplaced || entries.length === KEPT;
    }
    this.asOf = asOf;
    this.full = undefined;
    if (this.ownNews === ownNews) this.lookedAt = lookedAt; // else there is more already
    if (this.head > head) this.wake();
  }

  /**
   * Begins; and begins anew where the feed has, or is to. That is when its database has lost what we have read, by a
   * restored backup or by a replica that was behind: it would give the same positions to other revocations.
   */
  private async check(): Promise<void> {
    const checkedAt = performance.now();
    const found = await this.rows.state();
    const isSetBack = found.epoch === this.epoch && found.position < this.head;
    const { epoch, position } = isSetBack ? await this.rows.renew(found.epoch) : found;
    this.checkedAt = checkedAt;
    if (epoch === this.epoch) return;
    if (isSetBack) this.logger.warn({ event: 'revocation_feed_set_back' });
    this.head = position;
    this.floor = position;
    this.recent = [];
    this.full = undefined;
    this.epoch = epoch;
    this.wake();
  }

  private keep(entries: FeedEntry[]): void {
    this.recent.push(...entries);
    this.head = entries.at(-1)?.position ?? this.head;
    if (this.recent.length <= KEPT) return;
    const dropped = this.recent.splice(0, this.recent.length - KEPT);
    this.floor = dropped.at(-1)?.position ?? this.floor;
  }
}
