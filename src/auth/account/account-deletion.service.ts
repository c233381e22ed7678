import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, type Actor } from '../../audit/audit-trail.js';
import { Clock, plusSeconds } from '../../common/clock.js';
import type { Client, Principal } from '../../common/principal.js';
import { Config } from '../../config/config.js';
import { inTransaction } from '../../database/transaction.js';
import { Outbox } from '../../mail/outbox.js';
import type { User } from '../../users/user.entity.js';
import { MAX_TOKEN_LIFE_SECONDS } from '../../tokens/key-life.js';
import { RevocationRepository } from '../../tokens/revocation.repository.js';
import { UserRepository } from '../../users/user.repository.js';
import { DeviceRepository } from '../device.repository.js';
import { FormerPasswordRepository } from './former-password.repository.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import { PasswordAttempts } from '../password-attempts.js';
import { ReauthenticationService } from './reauthentication.service.js';
import { SessionRepository } from '../session.repository.js';
import { SessionService } from '../session.service.js';

const DAY_SECONDS = 86_400;
const CLOCK_MARGIN_SECONDS = 60;

/**
 * Deletion in two steps: the account is gone for everybody at once; the personal data goes with it, or after
 * `DELETION_GRACE_DAYS`. What remains is the id, which is never given again, and the audit trail, which nobody edits.
 */
@Injectable()
export class AccountDeletionService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly sessions: SessionService,
    private readonly sessionRows: SessionRepository,
    private readonly revocations: RevocationRepository,
    private readonly devices: DeviceRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly formerPasswords: FormerPasswordRepository,
    private readonly attempts: PasswordAttempts,
    private readonly reauthentication: ReauthenticationService,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
  ) {}

  /** Deletes the caller's account. @throws WrongPassword. */
  async deleteOwn(principal: Principal, currentPassword: string, client: Client): Promise<void> {
    const user = await this.reauthentication.confirm(principal, currentPassword, client, 'user_deleted');
    await this.delete(user, { type: 'user', id: user.id }, client);
  }

  /** @returns false when it was deleted already. */
  delete(user: User, actor: Actor, client?: Client): Promise<boolean> {
    const { id, email, emailCanonical } = user;
    const now = this.clock.now();
    const eraseAt = plusSeconds(now, this.config.deletionGraceDays * DAY_SECONDS);
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.users.delete(id, now, eraseAt, transaction))) return false;
      await this.sessions.endAllWithin(transaction, id, 'account_deleted');
      await this.revokeAll(id, now, transaction);
      await this.attempts.forget([emailCanonical], transaction);
      const isAtOnce = eraseAt <= now;
      if (isAtOnce) await this.eraseWithin(id, transaction);
      // Whose it is, is left out: the note must outlive the account.
      await this.outbox.add({ userId: null, email }, { kind: 'account_deleted' }, transaction);
      const entry = { actor, subjectId: id, ...(client && { client }) };
      await this.audit.record({ type: isAtOnce ? 'user_deleted' : 'user_archived', ...entry }, transaction);
      return true;
    });
  }

  /** Erases what is due. @returns how many accounts, at most `limit`. */
  async eraseDue(limit: number): Promise<number> {
    const due = await this.users.findErasable(this.clock.now(), limit);
    for (const { id } of due) {
      await inTransaction(this.dataSource, async (transaction) => {
        if (!(await this.eraseWithin(id, transaction))) return;
        await this.audit.record({ type: 'user_deleted', actor: { type: 'system' }, subjectId: id }, transaction);
      });
    }
    return due.length;
  }

  /** Deletes up to `limit` accounts that have waited for the proof of their address since before `before`. @returns how many. */
  purgePending(before: Date, limit: number): Promise<number> {
    return inTransaction(this.dataSource, async (transaction) => {
      const deleted = await this.users.deletePending(before, limit, transaction);
      await this.attempts.forget(
        deleted.map(({ emailCanonical }) => emailCanonical),
        transaction,
      );
      const entry = { type: 'user_deleted', actor: { type: 'system' }, reason: 'never_verified' } as const;
      await this.audit.recordAll(
        deleted.map(({ id }) => ({ ...entry, subjectId: id })),
        transaction,
      );
      return deleted.length;
    });
  }

  /**
   * Whatever token names the account is dead, also one of a session that the table does not know: a restored backup may have
   * lost some. Nobody ever logs in to this id again, so it may cover the seconds that come, for clocks that are ahead.
   */
  private async revokeAll(id: string, now: Date, transaction: EntityManager): Promise<void> {
    const notBefore = plusSeconds(now, CLOCK_MARGIN_SECONDS);
    const expiresAt = plusSeconds(notBefore, MAX_TOKEN_LIFE_SECONDS);
    await this.revocations.add([{ kind: 'sub', value: id, notBefore, expiresAt, createdAt: now }], transaction);
  }

  private async eraseWithin(id: string, transaction: EntityManager): Promise<boolean> {
    if (!(await this.users.erase(id, transaction))) return false;
    await this.sessionRows.deleteAll(id, transaction);
    await this.devices.deleteAll(id, transaction);
    await this.formerPasswords.deleteAll(id, transaction);
    await this.tokens.deleteAll(id, transaction);
    await this.outbox.forget(id, transaction);
    return true;
  }
}
