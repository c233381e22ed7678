import { Column, Entity, PrimaryColumn } from 'typeorm';

/** How far the feed of revocations has come. One row, whose lock is what gives the positions their order. */
@Entity('revocation_feed')
export class RevocationFeedState {
  @PrimaryColumn('int')
  id!: number;

  /** 8 random characters: tells the feed of this database from that of another one. */
  @Column('varchar')
  epoch!: string;

  /** The last position that was given. */
  @Column('bigint', { transformer: { from: Number, to: Number } })
  position!: number;
}
