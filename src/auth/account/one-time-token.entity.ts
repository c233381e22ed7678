import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What a link that was sent by mail is good for. */
export type TokenPurpose = 'verify_email' | 'reset_password' | 'change_email';

/** The newest link of its kind of one account: a newer one takes its place, so the older link is dead. */
@Entity('one_time_tokens')
export class OneTimeToken {
  @PrimaryColumn('varchar', { name: 'user_id' })
  userId!: string;

  @PrimaryColumn('varchar')
  purpose!: TokenPurpose;

  /** SHA-256 of the token: 256 random bits need no slower hash (ASVS 6.5.2). */
  @Column('blob', { name: 'token_hash' })
  tokenHash!: Buffer;

  /** The account's when the link was sent. What opens the account has changed since: the link is dead. */
  @Column('int', { name: 'credentials_version' })
  credentialsVersion!: number;

  /** For `change_email`: the address as it was typed. */
  @Column('varchar', { name: 'new_email', nullable: true })
  newEmail!: string | null;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;

  @Column('datetime', { name: 'used_at', precision: 3, nullable: true })
  usedAt!: Date | null;
}
