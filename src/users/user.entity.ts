import { Column, Entity, PrimaryColumn } from 'typeorm';

/** In place of a hash: no password opens this account. */
export const NO_PASSWORD = '!';

/** One account. Constraints and indexes are the migrations'; this maps the columns. */
@Entity('users')
export class User {
  /** UUIDv7, never given again. The `sub` of the tokens. */
  @PrimaryColumn('varchar')
  id!: string;

  /** As the person typed it: for showing and sending. Empty once the account is erased. */
  @Column('varchar')
  email!: string;

  /** Decides uniqueness; see `canonicalEmail`. */
  @Column('varchar', { name: 'email_canonical' })
  emailCanonical!: string;

  @Column('boolean', { name: 'email_verified' })
  emailVerified!: boolean;

  /** The sealed hash, or `NO_PASSWORD`; read only where the query asks for it by name. */
  @Column('varchar', { name: 'password_hash', select: false })
  passwordHash!: string;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('datetime', { name: 'last_login_at', precision: 3, nullable: true })
  lastLoginAt!: Date | null;

  /**
   * Counts up whenever what opens the account changes: a new password, a disabled or deleted account. What was decided on
   * an older count is void. The upgrade of a hash does not count: the password is the same.
   */
  @Column('int', { name: 'credentials_version' })
  credentialsVersion!: number;

  /** When the person was told that the present password is known from a breach; null when they were not. */
  @Column('datetime', { name: 'breach_told_at', precision: 3, nullable: true })
  breachToldAt!: Date | null;

  /** Since when the account waits for its first proof of the address; null when it does not. Such an account is purged. */
  @Column('datetime', { name: 'pending_since', precision: 3, nullable: true })
  pendingSince!: Date | null;

  /** Since when an operator keeps it from being used. */
  @Column('datetime', { name: 'disabled_at', precision: 3, nullable: true })
  disabledAt!: Date | null;

  @Column('datetime', { name: 'deleted_at', precision: 3, nullable: true })
  deletedAt!: Date | null;

  /** When the personal data of a deleted account is due to go; null when it has gone. */
  @Column('datetime', { name: 'erase_at', precision: 3, nullable: true })
  eraseAt!: Date | null;
}
