import { Column, Entity, PrimaryColumn } from 'typeorm';

/** An assertion that was used. It is good for one request (RFC 7523, section 3). */
@Entity('client_assertions')
export class ClientAssertion {
  /** SHA-256 of client id and `jti`, base64url. */
  @PrimaryColumn('varchar')
  digest!: string;

  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;
}
