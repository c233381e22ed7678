import { Injectable } from '@nestjs/common';
import { ApiProperty } from '../../common/openapi-decorators.js';
import type { AuditEvent } from '../../audit/audit-event.entity.js';
import { AuditTrail, ownAction } from '../../audit/audit-trail.js';
import { eventView } from '../../audit/event-view.js';
import { InvalidToken } from '../../common/domain-error.js';
import type { Client, Principal } from '../../common/principal.js';
import type { OutboxMessage } from '../../mail/outbox-message.entity.js';
import { Outbox } from '../../mail/outbox.js';
import type { User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import type { OneTimeToken } from './one-time-token.entity.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import type { Device } from '../device.entity.js';
import { DeviceRepository } from '../device.repository.js';
import type { Session } from '../session.entity.js';
import { SessionRepository } from '../session.repository.js';

/** Instants as RFC 3339, UTC. Never a secret: no hash, no token, no seed. */
export class AccountExport {
  @ApiProperty({ type: 'object', additionalProperties: true, description: 'The account.' })
  account!: Record<string, unknown>;

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'The logins that are still held.' })
  sessions!: Record<string, unknown>[];

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'Devices that have logged in.' })
  devices!: Record<string, unknown>[];

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'Links that were mailed and not used.' })
  pending_links!: Record<string, unknown>[];

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'Mails to the account that are still held.' })
  mails!: Record<string, unknown>[];

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'What was recorded about the account.' })
  audit_events!: Record<string, unknown>[];
}

/** A person's copy of their data (GDPR, article 15). */
@Injectable()
export class AccountExportService {
  constructor(
    private readonly users: UserRepository,
    private readonly sessions: SessionRepository,
    private readonly devices: DeviceRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
  ) {}

  /** Everything about the caller; the request for it is the last event. */
  async export({ userId, sessionId }: Principal, client: Client): Promise<AccountExport> {
    const user = await this.users.findById(userId);
    if (!user) throw new InvalidToken('no_such_user');
    const entry = ownAction(userId, client, sessionId);
    await this.audit.record({ type: 'sensitive_read', reason: 'export', ...entry });
    return {
      account: accountView(user),
      sessions: (await this.sessions.findAll(userId)).map(sessionView),
      devices: (await this.devices.findAll(userId)).map(deviceView),
      pending_links: (await this.tokens.pendingOf(user)).map(linkView),
      mails: (await this.outbox.of(userId)).map(mailView),
      audit_events: (await this.audit.about(userId)).map(ownEventView),
    };
  }
}

/** What an account's owner and an operator may see of it. */
export function accountView(user: User): Record<string, unknown> {
  return {
    id: user.id,
    email: user.email,
    email_verified: user.emailVerified,
    created_at: user.createdAt,
    last_login_at: user.lastLoginAt,
    disabled_at: user.disabledAt,
    deleted_at: user.deletedAt,
    erase_at: user.eraseAt,
  };
}

/** What an account's owner and an operator may see of a session. */
export function sessionView(session: Session): Record<string, unknown> {
  return {
    id: session.id,
    created_at: session.createdAt,
    last_used_at: session.lastUsedAt,
    expires_at: session.expiresAt,
    ended_at: session.endedAt,
    end_reason: session.endReason,
    ip: session.ip,
    user_agent: session.userAgent,
  };
}

function deviceView({ id, createdAt, lastUsedAt }: Device): Record<string, unknown> {
  return { id, created_at: createdAt, last_used_at: lastUsedAt };
}

function linkView({ purpose, newEmail, createdAt, expiresAt }: OneTimeToken): Record<string, unknown> {
  return { purpose, new_email: newEmail, created_at: createdAt, expires_at: expiresAt };
}

function mailView({ kind, recipient, createdAt, sentAt }: OutboxMessage): Record<string, unknown> {
  return { kind, recipient, created_at: createdAt, sent_at: sentAt };
}

/** What an account's owner may see of an event. */
export function ownEventView(event: AuditEvent): Record<string, unknown> {
  const view = eventView(event);
  delete view['actor_id'];
  delete view['subject_id'];
  return view;
}
