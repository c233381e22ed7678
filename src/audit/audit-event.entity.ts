import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Names of the OWASP Logging Vocabulary, and `key_rotated`, which it has none for. What each of them is recorded for: docs/security.md. */
export const AUDIT_EVENT_TYPES = [
  'user_created',
  'user_updated',
  'user_archived',
  'user_deleted',
  'authn_login_success',
  'authn_login_successafterfail',
  'authn_login_fail',
  'authn_login_fail_max',
  'authn_login_lock',
  'authn_password_change',
  'authn_password_change_fail',
  'authn_token_created',
  'authn_token_revoked',
  'authn_token_reuse',
  'authz_fail',
  'privilege_permissions_changed',
  'excess_rate_limit_exceeded',
  'key_rotated',
  'session_renewed',
  'session_expired',
  'session_logout',
  'session_use_after_expire',
  'sensitive_read',
  'sensitive_update',
  'sensitive_delete',
  'sys_startup',
  'sys_shutdown',
  'sys_monitor_disabled',
  'sys_monitor_enabled',
] as const;

export type AuditEventType = (typeof AUDIT_EVENT_TYPES)[number];

/** `anonymous`: nobody had proved who they are. `client`: a service. `system`: no request, a rule of ours. */
export type ActorType = 'user' | 'operator' | 'client' | 'system' | 'anonymous';

/** What happened, who did it and to whom. Rows are inserted and never changed. */
@Entity('audit_events')
export class AuditEvent {
  /** UUIDv7. */
  @PrimaryColumn('varchar')
  id!: string;

  @Column('datetime', { precision: 3 })
  at!: Date;

  @Column('varchar')
  type!: AuditEventType;

  @Column('varchar')
  outcome!: 'success' | 'failure';

  /** A user's id, an operator's login name, a client's id; null for the others. */
  @Column('varchar', { name: 'actor_id', nullable: true })
  actorId!: string | null;

  @Column('varchar', { name: 'actor_type' })
  actorType!: ActorType;

  /** The account it is about; null where there is none. */
  @Column('varchar', { name: 'subject_id', nullable: true })
  subjectId!: string | null;

  @Column('varchar', { name: 'session_id', nullable: true })
  sessionId!: string | null;

  @Column('varchar', { nullable: true })
  ip!: string | null;

  @Column('varchar', { name: 'user_agent', nullable: true })
  userAgent!: string | null;

  @Column('varchar', { name: 'request_id', nullable: true })
  requestId!: string | null;

  /** Why, in one of our words. */
  @Column('varchar', { nullable: true })
  reason!: string | null;

  /** JSON object with members of ours; never a secret, never an address of somebody who has no account. */
  @Column('text', { nullable: true })
  details!: string | null;

  /** HMAC of all of the above under a key of ours (`event-mac.ts`): a row that we did not write shows. */
  @Column('varchar')
  mac!: string;
}
