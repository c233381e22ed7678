import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { validate as isUuid } from 'uuid';
import type { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository } from './service-client.repository.js';

/** What an operator changes is in force everywhere after so long, in milliseconds. */
const MAX_AGE_MS = 1_000;
const REMEMBERED = 1_000;

/** A client as it authenticates. */
export interface KnownClient {
  client: ServiceClient;
  /** SHA-256 of each live secret, base64url. */
  secrets: string[];
}

/** The clients, remembered for a second: a service asks many times in one. */
@Injectable()
export class ClientDirectory {
  private readonly known = new LRUCache<string, KnownClient | { client: null }>({
    max: REMEMBERED,
    ttl: MAX_AGE_MS,
    fetchMethod: (id) => this.load(id),
  });

  constructor(private readonly rows: ServiceClientRepository) {}

  /** A client that is not disabled. */
  async find(id: string): Promise<KnownClient | undefined> {
    if (!isUuid(id)) return undefined;
    const known = await this.known.fetch(id.toLowerCase());
    return known?.client && known.client.disabledAt === null ? known : undefined;
  }

  private async load(id: string): Promise<KnownClient | { client: null }> {
    const client = await this.rows.findById(id);
    return client ? { client, secrets: await this.rows.findSecrets(id) } : { client: null };
  }
}
