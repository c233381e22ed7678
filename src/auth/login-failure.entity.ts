import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Wrong passwords for one account, from one known device, or for the addresses without an account that share a counter. */
@Entity('login_failures')
export class LoginFailure {
  /**
   * HMAC of the canonical address, base64url: what people type there may be a password (ASVS 16.2.5). `device.<id>` of a
   * device; `unknown.<number>` of addresses without an account. Under the newest master key; see `purgeFormer` for others.
   */
  @PrimaryColumn('varchar')
  account!: string;

  /** Since the last success or the last lock, 0 to 10. */
  @Column('int')
  failures!: number;

  /** Looks at the password that are under way; with `failures` at most 10, so that guesses in parallel are not more than others. */
  @Column('int')
  reserved!: number;

  /** When the newest of them must have ended. Those that have not by then died with their process, and count as failures. */
  @Column('datetime', { name: 'reserved_until', precision: 3, nullable: true })
  reservedUntil!: Date | null;

  /** Since the last success or recovery, across locks, 0 to 100. Always 0 where addresses share the counter. */
  @Column('int')
  consecutive!: number;

  @Column('datetime', { name: 'locked_until', precision: 3, nullable: true })
  lockedUntil!: Date | null;

  @Column('datetime', { name: 'updated_at', precision: 3 })
  updatedAt!: Date;
}
