import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What has been used of one budget by one key, in one window. Written by rate-limiter-flexible. */
@Entity('rate_limits')
export class RateLimit {
  /** `<budget>:<whose>`. */
  @PrimaryColumn('varchar')
  key!: string;

  @Column('int')
  points!: number;

  /** When the window ends, in milliseconds since 1970. */
  @Column('bigint', { nullable: true })
  expire!: number | null;
}
