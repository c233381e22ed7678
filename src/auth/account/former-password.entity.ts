import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A password that an account had before, sealed for that account like the present one. */
@Entity('former_passwords')
export class FormerPassword {
  /** UUIDv7. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar', { name: 'user_id' })
  userId!: string;

  @Column('varchar', { name: 'password_hash' })
  passwordHash!: string;

  /** When it was replaced. */
  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}
