import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One key pair, and the instants that its life follows from (`key-life.ts`). */
@Entity('signing_keys')
export class SigningKey {
  /** RFC 7638 thumbprint of the public key. */
  @PrimaryColumn('varchar')
  kid!: string;

  /** 1 for the first key, then counting up; unique, so that the database decides who makes the next. */
  @Column('bigint', { transformer: { to: (value: number) => value, from: Number } })
  number!: number;

  @Column('varchar')
  algorithm!: string;

  /** RFC 7517, as JSON. */
  @Column('varchar', { name: 'public_jwk' })
  publicJwk!: string;

  /** PKCS #8 PEM, sealed under the master key with the kid as context. */
  @Column('varchar', { name: 'private_key' })
  privateKey!: string;

  /** Published from then on. */
  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  /** Signs from then on, and the one before it no more. */
  @Column('datetime', { name: 'activates_at', precision: 3 })
  activatesAt!: Date;

  /** Refused everywhere from then on. */
  @Column('datetime', { name: 'revoked_at', precision: 3, nullable: true })
  revokedAt!: Date | null;
}
