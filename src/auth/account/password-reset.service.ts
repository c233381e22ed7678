import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AuditTrail, ownAction } from '../../audit/audit-trail.js';
import type { Client } from '../../common/principal.js';
import { inTransaction } from '../../database/transaction.js';
import { canonicalEmail } from '../../users/email-address.js';
import { UserRepository } from '../../users/user.repository.js';
import { InvalidOneTimeToken } from '../auth.errors.js';
import { MailRequestRepository } from '../mail-request.repository.js';
import { NewPasswordService } from './new-password.service.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import { LoginPairs } from '../login-pairs.js';
import { PasswordAttempts } from '../password-attempts.js';
import { SessionService } from '../session.service.js';

/** Recovery by mail (OWASP Forgot Password Cheat Sheet). It proves the address and never logs in (ASVS 6.3.6). */
@Injectable()
export class PasswordResetService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly users: UserRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly mailRequests: MailRequestRepository,
    private readonly newPasswords: NewPasswordService,
    private readonly attempts: PasswordAttempts,
    private readonly pairs: LoginPairs,
    private readonly sessions: SessionService,
    private readonly audit: AuditTrail,
  ) {}

  /** A link for an address, if it has an account. Says nothing about whether it has. */
  async request(email: string, client: Client): Promise<void> {
    const emailCanonical = canonicalEmail(email);
    if (emailCanonical) await this.mailRequests.add({ kind: 'reset_password', emailCanonical }, client);
  }

  /**
   * Sets a new password with the link: every session ends, a lock is lifted, every other link is dead, the address counts as
   * verified. A password that is refused leaves the link as good as it was.
   *
   * @throws InvalidOneTimeToken, InvalidFields.
   */
  async reset(token: string, newPassword: string, client: Client): Promise<void> {
    const { user } = await this.tokens.findUsable(token, 'reset_password');
    const passwordHash = await this.newPasswords.prepare(user, newPassword);

    await inTransaction(this.dataSource, async (transaction) => {
      await this.tokens.consume(token, 'reset_password', transaction);
      const isUnchanged = await this.users.verifyEmail(user, passwordHash, transaction);
      if (!isUnchanged) throw new InvalidOneTimeToken('account_changed');
      await this.newPasswords.replaced(user, transaction);
      await this.sessions.endAllWithin(transaction, user.id, 'password_reset');
      await this.attempts.forgive(user.emailCanonical, transaction);
      const entry = { ...ownAction(user.id, client), reason: 'reset' };
      await this.audit.record({ type: 'authn_password_change', ...entry }, transaction);
    });
    await this.pairs.forgive(this.attempts.bucketOf(user.emailCanonical));
  }
}
