import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A service that may ask about tokens. Made, changed and disabled by an operator's commands alone. */
@Entity('clients')
export class ServiceClient {
  /** UUIDv7: the `client_id`. */
  @PrimaryColumn('varchar')
  id!: string;

  /** What operators call it; unique. */
  @Column('varchar')
  name!: string;

  /** Tokens for these, and for no others, are its business. */
  @Column('simple-json')
  audiences!: string[];

  /** Public keys (RFC 7517) of a client that signs its requests, as JSON; null of one that has secrets. */
  @Column('varchar', { nullable: true })
  jwks!: string | null;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('datetime', { name: 'disabled_at', precision: 3, nullable: true })
  disabledAt!: Date | null;
}
