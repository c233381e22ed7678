import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Who may do a piece of work that one instance is enough for. */
@Entity('leases')
export class Lease {
  @PrimaryColumn('varchar')
  name!: string;

  /** A number that the instance gave itself when it started. */
  @Column('varchar')
  holder!: string;

  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;
}
