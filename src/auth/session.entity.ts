import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Why a session ended. `expired`: nobody used it, or its absolute end had come. */
export type EndReason =
  | 'logout'
  | 'logout_all'
  | 'ended_by_user'
  | 'too_many_sessions'
  | 'refresh_token_replayed'
  | 'password_changed'
  | 'password_reset'
  | 'email_verified'
  | 'account_disabled'
  | 'account_deleted'
  | 'ended_by_operator'
  | 'revoked_by_client'
  | 'expired';

const toNumber = { to: (value: number) => value, from: (value: string | number) => Number(value) };

/** One login and everything that was refreshed from it. */
@Entity('sessions')
export class Session {
  /** UUIDv7. The `sid` of the access tokens. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('varchar', { name: 'user_id' })
  userId!: string;

  /** 32 random bytes, base64url. With the generation and the master key it makes the refresh token; alone it is of no use. */
  @Column('varchar')
  seed!: string;

  /** How often the refresh token was rotated. Only the token of this generation can rotate it again. */
  @Column('bigint', { transformer: toNumber })
  generation!: number;

  /** The login. The `auth_time` of the access tokens. */
  @Column('datetime', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  /** The login or the last rotation. */
  @Column('datetime', { name: 'last_used_at', precision: 3 })
  lastUsedAt!: Date;

  /** The earlier of idle and absolute end. */
  @Column('datetime', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;

  @Column('datetime', { name: 'absolute_expires_at', precision: 3 })
  absoluteExpiresAt!: Date;

  /** No access token of this session lives longer: what a revocation of it must outlast. */
  @Column('datetime', { name: 'access_expires_at', precision: 3 })
  accessExpiresAt!: Date;

  @Column('datetime', { name: 'ended_at', precision: 3, nullable: true })
  endedAt!: Date | null;

  @Column('varchar', { name: 'end_reason', nullable: true })
  endReason!: EndReason | null;

  @Column('varchar')
  ip!: string;

  @Column('varchar', { name: 'user_agent', nullable: true })
  userAgent!: string | null;
}

/** Whether the session can still be used at `now`: a pure rule, its reason for the log. */
export function sessionProblem(session: Session, now: Date): 'ended' | 'expired' | undefined {
  if (session.endedAt !== null) return 'ended';
  if (session.expiresAt <= now) return 'expired';
  return undefined;
}
