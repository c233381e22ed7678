import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, ownAction } from '../../audit/audit-trail.js';
import type { Client } from '../../common/principal.js';
import { inTransaction } from '../../database/transaction.js';
import { canonicalEmail } from '../../users/email-address.js';
import { NO_PASSWORD, type User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import { InvalidOneTimeToken, PasswordRequired } from '../auth.errors.js';
import { DeviceRepository } from '../device.repository.js';
import { FormerPasswordRepository } from './former-password.repository.js';
import { LoginPairs } from '../login-pairs.js';
import { MailRequestRepository } from '../mail-request.repository.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import { PasswordAttempts } from '../password-attempts.js';
import { PasswordHasher } from '../password-hasher.js';
import { PasswordPolicy } from '../password-policy.js';
import { SessionService } from '../session.service.js';

/** The proof that an address belongs to whoever signed up with it. */
@Injectable()
export class EmailVerificationService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly users: UserRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly formerPasswords: FormerPasswordRepository,
    private readonly mailRequests: MailRequestRepository,
    private readonly policy: PasswordPolicy,
    private readonly hasher: PasswordHasher,
    private readonly devices: DeviceRepository,
    private readonly attempts: PasswordAttempts,
    private readonly pairs: LoginPairs,
    private readonly sessions: SessionService,
    private readonly audit: AuditTrail,
  ) {}

  /** A new link for an address, if an account waits for it. Says nothing about whether one does. */
  async resend(email: string, client: Client): Promise<void> {
    const emailCanonical = canonicalEmail(email);
    if (emailCanonical) await this.mailRequests.add({ kind: 'verify_email', emailCanonical }, client);
  }

  /**
   * Uses the link of a sign-up. A new password replaces the one of the sign-up and everything done with it; it must be
   * given where the address was signed up more than once. A refusal leaves the link as good as it was.
   *
   * @throws InvalidOneTimeToken, PasswordRequired, InvalidFields.
   */
  async verify(token: string, newPassword: string | undefined, client: Client): Promise<void> {
    const { user } = await this.tokens.findUsable(token, 'verify_email');
    if (newPassword === undefined && user.passwordHash === NO_PASSWORD) throw new PasswordRequired();
    if (newPassword !== undefined) await this.policy.assertAcceptable(newPassword, user.email);
    const passwordHash = newPassword === undefined ? undefined : await this.hasher.hash(user.id, newPassword);

    await inTransaction(this.dataSource, async (transaction) => {
      await this.tokens.consume(token, 'verify_email', transaction);
      const isUnchanged = await this.users.verifyEmail(user, passwordHash, transaction);
      if (!isUnchanged) throw new InvalidOneTimeToken('account_changed');
      if (passwordHash !== undefined) await this.forgetStranger(user, transaction);
      const entry = { ...ownAction(user.id, client), reason: 'email_verified' };
      await this.audit.record({ type: 'user_updated', ...entry }, transaction);
    });
    if (passwordHash !== undefined) await this.pairs.forgive(this.attempts.bucketOf(user.emailCanonical));
  }

  /** Whatever was done with an earlier password may have been somebody else's doing. */
  private async forgetStranger(user: User, transaction: EntityManager): Promise<void> {
    await this.sessions.endAllWithin(transaction, user.id, 'email_verified');
    await this.formerPasswords.deleteAll(user.id, transaction);
    await this.devices.deleteAll(user.id, transaction);
    await this.attempts.forgive(user.emailCanonical, transaction);
  }
}
