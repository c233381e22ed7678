import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** What a revocation names. `sid`: a session, with every access token of it. */
export type RevocationKind = 'sid';

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

  /** When the last access token it concerns has expired by itself. */
  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}
