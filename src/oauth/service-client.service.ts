import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { randomBytes } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import { Clock } from '../common/clock.js';
import { inTransaction } from '../database/transaction.js';
import { secretDigest, type ClientSecret } from './client-secret.entity.js';
import type { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository } from './service-client.repository.js';

const SECRET_BYTES = 32;

/** A client with a secret that nobody can show again. */
export interface NewSecret {
  client: ServiceClient;
  /** 43 characters, base64url; undefined for a client that signs its requests. */
  secret: string | undefined;
}

/** What an operator does about the services that may ask about tokens. */
@Injectable()
export class ServiceClientService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly rows: ServiceClientRepository,
    private readonly audit: AuditTrail,
  ) {}

  /** By name, the disabled ones too. */
  async list(actor: Actor): Promise<ServiceClient[]> {
    await this.audit.record({ type: 'sensitive_read', actor, reason: 'client_list' });
    return this.rows.findAll();
  }

  /** By name or id. */
  find(nameOrId: string): Promise<ServiceClient | null> {
    return this.rows.findByNameOrId(nameOrId);
  }

  /**
   * Makes a client.
   *
   * @param jwks its public keys, for one that signs its requests; it has no secret then.
   * @returns undefined when the name is taken.
   */
  create(name: string, audiences: string[], jwks: string | undefined, actor: Actor): Promise<NewSecret | undefined> {
    const createdAt = this.clock.now();
    const client = { id: uuidv7(), name, audiences, jwks: jwks ?? null, createdAt, disabledAt: null };
    const made = jwks === undefined ? this.makeSecret(client.id) : undefined;
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.rows.add(client, made?.row, transaction))) return undefined;
      await this.record('client_created', client, actor, transaction);
      return { client, secret: made?.secret };
    });
  }

  /** A further secret. The last one stays good until the next rotation; older ones are not any more. */
  rotateSecret(client: ServiceClient, actor: Actor): Promise<NewSecret> {
    const { row, secret } = this.makeSecret(client.id);
    return inTransaction(this.dataSource, async (transaction) => {
      await this.rows.addSecret(row, transaction);
      await this.record('client_secret_rotated', client, actor, transaction);
      return { client, secret };
    });
  }

  /** @returns whether it was not disabled before. */
  disable(client: ServiceClient, actor: Actor): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      const isChanged = await this.rows.disable(client.id, this.clock.now(), transaction);
      if (isChanged) await this.record('client_disabled', client, actor, transaction);
      return isChanged;
    });
  }

  private makeSecret(clientId: string): { row: ClientSecret; secret: string } {
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    return { secret, row: { id: uuidv7(), clientId, digest: secretDigest(secret), createdAt: this.clock.now() } };
  }

  private record(reason: string, client: ServiceClient, actor: Actor, transaction: EntityManager): Promise<void> {
    const details = { client_id: client.id, name: client.name, audiences: client.audiences.join(' ') };
    return this.audit.record({ type: 'privilege_permissions_changed', actor, reason, details }, transaction);
  }
}
