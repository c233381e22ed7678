import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { In, IsNull, LessThan, type DataSource, type EntityManager } from 'typeorm';
import { isSqlite } from '../database/data-source.js';
import { deleteBatch } from '../database/delete-batch.js';
import { isDuplicate } from '../database/errors.js';
import { ClientAssertion } from './client-assertion.entity.js';
import { ClientSecret } from './client-secret.entity.js';
import { ServiceClient } from './service-client.entity.js';

/** So many secrets of a client are good at a time. */
const LIVE_SECRETS = 2;
const PURGED_AT_ONCE = 20;

/** A client as it authenticates. */
export interface KnownClient {
  client: ServiceClient;
  /** SHA-256 of each live secret, base64url. */
  secrets: string[];
}

@Injectable()
export class ServiceClientRepository {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /** @returns false when the name is taken. */
  async add(client: ServiceClient, secret: ClientSecret | undefined, transaction: EntityManager): Promise<boolean> {
    try {
      await transaction.insert(ServiceClient, client);
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
    if (secret) await transaction.insert(ClientSecret, secret);
    return true;
  }

  /** Adds a secret. The one before it stays good, and those before that one go. Several at once, one after the other. */
  async addSecret(secret: ClientSecret, transaction: EntityManager): Promise<void> {
    await this.hold(secret.clientId, transaction);
    await transaction.insert(ClientSecret, secret);
    const all = await transaction.find(ClientSecret, { where: { clientId: secret.clientId }, order: { id: 'DESC' } });
    const surplus = all.slice(LIVE_SECRETS).map(({ id }) => id);
    if (surplus.length > 0) await transaction.delete(ClientSecret, { id: In(surplus) });
  }

  /** @returns whether it was this call that disabled it. */
  async disable(id: string, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(ServiceClient, { id, disabledAt: IsNull() }, { disabledAt: at });
    return affected === 1;
  }

  /** By name. */
  findAll(): Promise<ServiceClient[]> {
    return this.dataSource.getRepository(ServiceClient).find({ order: { name: 'ASC' } });
  }

  findByNameOrId(nameOrId: string): Promise<ServiceClient | null> {
    return this.dataSource.getRepository(ServiceClient).findOneBy([{ id: nameOrId }, { name: nameOrId }]);
  }

  /** Those of these ids, or all, by id: the disabled ones too. Two queries, however many. */
  async findKnown(ids?: readonly string[]): Promise<Map<string, KnownClient>> {
    const [ofClient, ofSecret] = ids ? [{ id: In(ids) }, { clientId: In(ids) }] : [{}, {}];
    const clients = await this.dataSource.getRepository(ServiceClient).findBy(ofClient);
    const known = new Map(clients.map((client) => [client.id, { client, secrets: [] as string[] }]));
    if (known.size === 0) return known;
    const secrets = await this.dataSource.getRepository(ClientSecret).findBy(ofSecret);
    for (const { clientId, digest } of secrets) known.get(clientId)?.secrets.push(digest);
    return known;
  }

  /** Uses an assertion up. Of any number of callers one may. @returns whether this one does. */
  async useAssertion(assertion: ClientAssertion, now: Date): Promise<boolean> {
    const rows = this.dataSource.getRepository(ClientAssertion);
    await deleteBatch(rows, 'digest', { expiresAt: LessThan(now) }, PURGED_AT_ONCE);
    try {
      await rows.insert(assertion);
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  }

  /** Makes everybody else who would change the client wait until the transaction ends. */
  private async hold(id: string, transaction: EntityManager): Promise<void> {
    if (isSqlite(transaction.connection)) return; // there is one transaction at a time
    const lock = { mode: 'pessimistic_write' } as const;
    await transaction.findOne(ServiceClient, { select: { id: true }, where: { id }, lock });
  }
}
