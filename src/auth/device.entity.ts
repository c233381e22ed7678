import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A device that has logged in to an account, and holds the token that says so. */
@Entity('devices')
export class Device {
  /** UUIDv4. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar', { name: 'user_id' })
  userId!: string;

  /** Counts up with every login: only the newest token is good. */
  @Column('int')
  generation!: number;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('datetime', { name: 'last_used_at', precision: 3 })
  lastUsedAt!: Date;
}
