import { hash } from 'node:crypto';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One of the secrets of a client: two at most, so that the old one works until every instance has the new one. */
@Entity('client_secrets')
export class ClientSecret {
  /** UUIDv7: the newest comes last. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar', { name: 'client_id' })
  clientId!: string;

  /** SHA-256 of the secret, base64url. */
  @Column('varchar')
  digest!: string;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}

/** What is stored of a client secret: SHA-256, base64url. It has 256 random bits, so there is nothing to guess. */
export function secretDigest(secret: string): string {
  return hash('sha256', secret, 'base64url');
}
