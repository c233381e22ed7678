import { In, MoreThan, type Repository } from 'typeorm';
import type { MasterKeys } from '../common/master-keys.js';
import type { AuditEvent } from './audit-event.entity.js';
import { isAuthentic } from './event-mac.js';
import { leafOf } from './seal.js';

const PAGE = 1_000;
/** As many events are held, and as many ids are remembered, give or take a page. */
const CAPACITY = 20_000;

/** What is kept of an event that was read. */
export interface ReadEvent {
  id: string;
  /** What stands for it in the tree of its seal. */
  leaf: Buffer;
  isAuthentic: boolean;
}

/**
 * Reads the events once, in the order of their ids, and holds those that no seal has claimed yet. Seals are made in about
 * that order, so they are few. A claim for an event that is elsewhere (committed late, or by a clock that is ahead) is
 * answered by a query of its own.
 */
export class EventWindow {
  private readonly held = new Map<string, ReadEvent>();
  private readonly claimedAhead = new Set<string>();
  private isAtEnd = false;

  /** @param position the id behind which it begins; empty: with the first event. */
  constructor(
    private readonly rows: Repository<AuditEvent>,
    private readonly masterKeys: MasterKeys,
    private position: string,
  ) {}

  /** How many events are in memory. */
  get size(): number {
    return this.held.size;
  }

  /**
   * The events with these ids, without those that are missing. The window is done with them. `again` are those that it was
   * done with before, or that have come behind its back: committed since, or before its beginning.
   */
  async claim(ids: readonly string[]): Promise<{ events: Map<string, ReadEvent>; again: string[] }> {
    await this.readThrough(ids.reduce((one, other) => (other > one ? other : one), ''));
    const events = new Map<string, ReadEvent>();
    for (const id of ids) {
      const event = this.held.get(id);
      if (event) events.set(id, event);
      this.held.delete(id);
    }
    const again: string[] = [];
    for (const event of await this.readElsewhere(ids.filter((id) => !events.has(id)))) {
      events.set(event.id, event);
      const isAhead = event.id > this.position;
      if (!isAhead || this.claimedAhead.has(event.id)) again.push(event.id);
      else if (this.claimedAhead.size < CAPACITY) this.claimedAhead.add(event.id);
    }
    return { events, again };
  }

  /** Gives up what comes before an id and was not claimed, once it is so much that it cannot be held. */
  takeOverdue(id: string): ReadEvent[] {
    return this.size < CAPACITY ? [] : this.take((event) => event.id < id);
  }

  /** What nobody has claimed, page by page. @param through the last id; undefined: to the end of the trail. */
  async *takeRest(through?: string): AsyncGenerator<ReadEvent[], void, void> {
    const isBehind = (id: string) => through !== undefined && id > through;
    for (;;) {
      yield this.take(({ id }) => !isBehind(id));
      if (this.isAtEnd || isBehind(this.position)) return;
      await this.readPage();
    }
  }

  private take(isDue: (event: ReadEvent) => boolean): ReadEvent[] {
    const due = [...this.held.values()].filter(isDue);
    for (const { id } of due) this.held.delete(id);
    return due;
  }

  private async readThrough(id: string): Promise<void> {
    while (!this.isAtEnd && this.position < id && this.size < CAPACITY) await this.readPage();
  }

  private async readPage(): Promise<void> {
    const page = await this.rows.find({ where: { id: MoreThan(this.position) }, order: { id: 'ASC' }, take: PAGE });
    for (const event of page) {
      if (!this.claimedAhead.delete(event.id)) this.held.set(event.id, this.read(event));
    }
    this.position = page.at(-1)?.id ?? this.position;
    this.isAtEnd = page.length < PAGE;
  }

  private async readElsewhere(ids: readonly string[]): Promise<ReadEvent[]> {
    if (ids.length === 0) return [];
    const events = await this.rows.findBy({ id: In(ids) });
    return events.map((event) => this.read(event));
  }

  private read(event: AuditEvent): ReadEvent {
    return { id: event.id, leaf: leafOf(event.id, event), isAuthentic: isAuthentic(event, this.masterKeys) };
  }
}
