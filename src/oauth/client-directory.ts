import { Injectable } from '@nestjs/common';
import { validate as isUuid } from 'uuid';
import { BatchedLookup } from '../database/batched-lookup.js';
import { ServiceClientRepository, type KnownClient } from './service-client.repository.js';

/** What an operator changes is in force everywhere after so long, in milliseconds. */
const MAX_AGE_MS = 1_000;

/**
 * The clients. Operators make them, so they are few: the whole table is read once a second at most, for whoever asks then.
 * What strangers send does not change what is remembered.
 */
@Injectable()
export class ClientDirectory {
  private known: ReadonlyMap<string, KnownClient> = new Map();
  /** By the monotonic clock, in milliseconds. */
  private readAt = -Infinity;
  private reading: Promise<void> | undefined;
  private readonly newcomers = new BatchedLookup('clients', async (ids: readonly string[]) => {
    const known = await this.rows.findKnown(ids);
    return ids.map((id) => known.get(id));
  });

  constructor(private readonly rows: ServiceClientRepository) {}

  /** A client that is not disabled, of those that were there within the last second. */
  async find(id: string): Promise<KnownClient | undefined> {
    if (!isUuid(id)) return undefined;
    if (!this.isFresh()) await (this.reading ??= this.read().finally(() => (this.reading = undefined)));
    return enabled(this.known.get(id.toLowerCase()));
  }

  /** What `find` would answer without asking the database; undefined also when it would have to. */
  recall(id: string): KnownClient | undefined {
    return this.isFresh() ? enabled(this.known.get(id.toLowerCase())) : undefined;
  }

  /** What `recall` goes by: the same object as long as it answers the same. Undefined when it knows nothing. */
  get edition(): object | undefined {
    return this.isFresh() ? this.known : undefined;
  }

  /** One that may have been made since. Asks the database. @throws Unavailable */
  async findNew(id: string): Promise<KnownClient | undefined> {
    if (!isUuid(id) || this.known.has(id.toLowerCase())) return undefined;
    return enabled(await this.newcomers.load(id.toLowerCase()));
  }

  private isFresh(): boolean {
    return performance.now() - this.readAt <= MAX_AGE_MS;
  }

  private async read(): Promise<void> {
    const readAt = performance.now();
    this.known = await this.rows.findKnown();
    this.readAt = readAt;
  }
}

function enabled(known: KnownClient | undefined): KnownClient | undefined {
  return known?.client.disabledAt === null ? known : undefined;
}
