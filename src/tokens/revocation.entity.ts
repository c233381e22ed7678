import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/**
 * What a revocation names. `sid`: a session, with every access token of it. `sub`: an account, with every access token that
 * was issued before `notBefore`. `kid`: a signing key, with everything that it has signed.
 */
export type RevocationKind = 'sid' | 'sub' | 'kid';

/** Tokens that are dead although their signature and their time are good. */
@Entity('revocations')
export class Revocation {
  /** Counts up. Given before commit, so the order of numbers is not the order in which rows appear. */
  @PrimaryGeneratedColumn({ type: 'bigint' })
  seq!: number | string;

  @Column('varchar')
  kind!: RevocationKind;

  /** The claim's value that is revoked, at most 64 characters. */
  @Column('varchar')
  value!: string;

  /** Of an account: tokens issued from then on are good. */
  @Column('datetime', { name: 'not_before', precision: 3, nullable: true })
  notBefore!: Date | null;

  /** When the last access token it concerns has expired by itself. */
  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  /** Its place in the feed: counts up in the order in which the rows appeared. Null until somebody has looked. */
  @Column('bigint', { nullable: true, transformer: { from: orNull, to: orNull } })
  position!: number | null;
}

function orNull(value: string | number | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

/** A time of a row as the driver gives it: SQLite has none, and gives text. */
export function instantOf(value: Date | string): Date {
  return value instanceof Date ? value : new Date(`${value.replace(' ', 'T')}Z`);
}
