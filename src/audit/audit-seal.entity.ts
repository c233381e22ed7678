import { Column, Entity, PrimaryColumn } from 'typeorm';

/** `events`: a batch of events. `purge`: the statement that the events of older batches were deleted on purpose. */
export type SealKind = 'events' | 'purge';

/** One link of the chain that shows whether anything was changed. Inserted, and changed by a purge alone. */
@Entity('audit_seals')
export class AuditSeal {
  /** 1, 2, 3 …, without a gap. Two sealers that try the same number at once are told apart by it. */
  @PrimaryColumn('bigint', { transformer: { from: Number, to: Number } })
  number!: number;

  @Column('varchar')
  kind!: SealKind;

  @Column('datetime', { name: 'sealed_at', precision: 3 })
  sealedAt!: Date;

  @Column('int', { name: 'event_count' })
  eventCount!: number;

  /** The ids of the batch in ascending order, 32 hex digits each, nothing between them; empty once they are purged. */
  @Column('text', { name: 'event_ids' })
  eventIds!: string;

  /** Merkle tree hash of the events (RFC 9162, section 2.1.1), base64url. */
  @Column('varchar')
  root!: string;

  /** Of a purge: the last batch whose events were deleted. */
  @Column('bigint', { name: 'purged_through', nullable: true, transformer: { from: orNull, to: orNull } })
  purgedThrough!: number | null;

  /** `hash` of the seal before; 43 times `A` in the first. */
  @Column('varchar')
  previous!: string;

  /** SHA-256 of all of the above but `eventIds`, base64url. */
  @Column('varchar')
  hash!: string;

  /** Of the master key that the signing key is derived from. */
  @Column('varchar', { name: 'key_id' })
  keyId!: string;

  /** Ed25519 over `hash`, base64url. */
  @Column('varchar')
  signature!: string;
}

function orNull(value: string | number | null): number | null {
  return value === null ? null : Number(value);
}
