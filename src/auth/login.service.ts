import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail.js';
import { Unavailable } from '../common/domain-error.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { inTransaction } from '../database/transaction.js';
import { canonicalEmail } from '../users/email-address.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { AccountDisabled, EmailNotVerified, InvalidCredentials } from './auth.errors.js';
import { PasswordAttempts } from './password-attempts.js';
import { PasswordHasher } from './password-hasher.js';

@Injectable()
export class LoginService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly users: UserRepository,
    private readonly attempts: PasswordAttempts,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Who the credentials belong to.
   *
   * @throws InvalidCredentials, the same for an unknown address, a wrong password and a locked account, after equal work;
   * after the right password AccountDisabled and EmailNotVerified.
   */
  async authenticate(email: string, password: string, client: Client): Promise<User> {
    const emailCanonical = canonicalEmail(email);
    const user = emailCanonical ? await this.users.findByEmailWithHash(emailCanonical) : null;
    const candidate = { identifier: emailCanonical ?? email, user };
    const attempt = await this.attempts.check(candidate, password);
    if (!user || !attempt.matches) {
      await this.attempts.fail(candidate, attempt, { type: 'authn_login_fail', actor: { type: 'anonymous' }, client });
      throw new InvalidCredentials(attempt.isLocked ? 'locked' : user ? 'wrong_password' : 'no_such_user');
    }
    await this.refuseUnusable(user, client);
    if (attempt.isOutdated) await this.upgrade(user, password);
    return user;
  }

  /** Whoever has given the right password may know why it is not enough. */
  private async refuseUnusable(user: User, client: Client): Promise<void> {
    const isUnverified = this.config.emailVerification === 'required' && !user.emailVerified;
    if (!user.disabledAt && !isUnverified) return;
    const reason = user.disabledAt ? 'account_disabled' : 'email_not_verified';
    await inTransaction(this.dataSource, async (transaction) => {
      await this.attempts.succeed(user.emailCanonical, transaction);
      const entry = { actor: { type: 'anonymous' }, subjectId: user.id, client, reason } as const;
      await this.audit.record({ type: 'authn_login_fail', outcome: 'failure', ...entry }, transaction);
    });
    throw user.disabledAt ? new AccountDisabled() : new EmailNotVerified();
  }

  /** The password is right: a full queue must not turn the login away, the next one upgrades as well. */
  private async upgrade({ id, passwordHash }: User, password: string): Promise<void> {
    try {
      await this.users.upgradePasswordHash(id, passwordHash, await this.hasher.hash(id, password));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
    }
  }
}
