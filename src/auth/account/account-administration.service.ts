import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { validate as isUuid } from 'uuid';
import { AuditTrail, type Actor } from '../../audit/audit-trail.js';
import { Clock } from '../../common/clock.js';
import { inTransaction } from '../../database/transaction.js';
import { canonicalEmail } from '../../users/email-address.js';
import type { User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import { AccountDeletionService } from './account-deletion.service.js';
import { PasswordAttempts } from '../password-attempts.js';
import type { Session } from '../session.entity.js';
import { SessionRepository } from '../session.repository.js';
import { SessionService } from '../session.service.js';

/** What an operator sees of an account. */
export interface AccountSummary {
  user: User;
  liveSessions: Session[];
  lockedUntil: Date | null;
  /** After a hundred wrong passwords in a row; a recovery by mail ends it. */
  isPasswordDisabled: boolean;
}

/** What an operator may do to an account, each with its audit event. No password is ever set here (PCI DSS 8.3.5). */
@Injectable()
export class AccountAdministrationService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly sessions: SessionService,
    private readonly sessionRows: SessionRepository,
    private readonly attempts: PasswordAttempts,
    private readonly deletions: AccountDeletionService,
    private readonly audit: AuditTrail,
  ) {}

  /** The account of an id or an e-mail address; null when there is none. A deleted one is found by its id. */
  async find(idOrEmail: string): Promise<User | null> {
    if (isUuid(idOrEmail)) return this.users.findById(idOrEmail.toLowerCase());
    const emailCanonical = canonicalEmail(idOrEmail);
    return emailCanonical ? this.users.findByEmail(emailCanonical) : null;
  }

  async show(user: User, actor: Actor): Promise<AccountSummary> {
    await this.audit.record({ type: 'sensitive_read', reason: 'user_show', actor, subjectId: user.id });
    return {
      user,
      liveSessions: await this.sessionRows.findLive(user.id, this.clock.now()),
      ...(await this.attempts.stateOf(user.emailCanonical)),
    };
  }

  /** Nobody logs in to it any more, its sessions end everywhere, its links are dead. @returns false when it was so already. */
  disable({ id }: User, actor: Actor): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.users.disable(id, this.clock.now(), transaction))) return false;
      await this.sessions.endAllWithin(transaction, id, 'account_disabled');
      await this.audit.record({ type: 'user_updated', reason: 'disabled', actor, subjectId: id }, transaction);
      return true;
    });
  }

  /** @returns false when it was not disabled. */
  enable({ id }: User, actor: Actor): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.users.enable(id, transaction))) return false;
      await this.audit.record({ type: 'user_updated', reason: 'enabled', actor, subjectId: id }, transaction);
      return true;
    });
  }

  /** Ends every session. @returns how many. */
  logOut({ id }: User, actor: Actor): Promise<number> {
    return inTransaction(this.dataSource, async (transaction) => {
      const ended = await this.sessions.endAllWithin(transaction, id, 'ended_by_operator');
      const entry = { reason: 'ended_by_operator', actor, subjectId: id, details: { sessions: ended.length } };
      await this.audit.record({ type: 'session_logout', ...entry }, transaction);
      return ended.length;
    });
  }

  /** @returns false when it was deleted already. */
  delete(user: User, actor: Actor): Promise<boolean> {
    return this.deletions.delete(user, actor);
  }
}
