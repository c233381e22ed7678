import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What somebody asked for or did at an address, before anybody has looked whether it has an account. */
export type MailRequestKind = 'signup' | 'verify_email' | 'reset_password' | 'account_locked' | 'password_blocked';

/** A mail that may be due. Stored for every address alike; whose it is, is looked up off the request. */
@Entity('mail_requests')
export class MailRequest {
  /** UUIDv7. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar')
  kind!: MailRequestKind;

  @Column('varchar', { name: 'email_canonical' })
  emailCanonical!: string;

  /** Where it was asked for, for the record. */
  @Column('varchar', { nullable: true })
  ip!: string | null;

  @Column('varchar', { name: 'user_agent', nullable: true })
  userAgent!: string | null;

  @Column('varchar', { name: 'request_id', nullable: true })
  requestId!: string | null;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}
