import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One account. Constraints and indexes are the migrations'; this maps the columns. */
@Entity('users')
export class User {
  /** UUIDv7, never given again. The `sub` of the tokens. */
  @PrimaryColumn('varchar')
  id!: string;

  /** As the person typed it: for showing and sending. */
  @Column('varchar')
  email!: string;

  /** Decides uniqueness; see `canonicalEmail`. */
  @Column('varchar', { name: 'email_canonical' })
  emailCanonical!: string;

  @Column('boolean', { name: 'email_verified' })
  emailVerified!: boolean;

  /** The sealed hash; read only where the query asks for it by name. */
  @Column('varchar', { name: 'password_hash', select: false })
  passwordHash!: string;

  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('datetime', { name: 'last_login_at', precision: 3, nullable: true })
  lastLoginAt!: Date | null;
}
