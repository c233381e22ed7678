import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AuditTrail, ownAction } from '../../audit/audit-trail.js';
import { InvalidFields } from '../../common/domain-error.js';
import type { Client, Principal } from '../../common/principal.js';
import { inTransaction } from '../../database/transaction.js';
import { Outbox } from '../../mail/outbox.js';
import { canonicalEmail } from '../../users/email-address.js';
import { UserRepository } from '../../users/user.repository.js';
import { InvalidOneTimeToken, WrongPassword } from '../auth.errors.js';
import { AccountMailCap } from './account-mail-cap.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import { PasswordAttempts } from '../password-attempts.js';
import { ReauthenticationService } from './reauthentication.service.js';

@Injectable()
export class EmailChangeService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly users: UserRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly reauthentication: ReauthenticationService,
    private readonly attempts: PasswordAttempts,
    private readonly mailCap: AccountMailCap,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Sends a link to the new address and a note to the present one. Nothing changes before the link is used. Where the new
   * address belongs to somebody else, they get a note instead of the link, and the caller is not told.
   *
   * @throws WrongPassword, InvalidFields for an address that is none.
   */
  async request(principal: Principal, currentPassword: string, newEmail: string, client: Client): Promise<void> {
    const { userId, sessionId } = principal;
    const newCanonical = canonicalEmail(newEmail);
    if (!newCanonical) {
      throw new InvalidFields([{ field: 'new_email', code: 'email_invalid', message: 'Not an e-mail address.' }]);
    }
    const user = await this.reauthentication.confirm(principal, currentPassword, client, 'user_updated');
    const owner = await this.users.findByEmail(newCanonical);
    await inTransaction(this.dataSource, async (transaction) => {
      // Also the proof that nothing has changed since the password was checked.
      if (!(await this.users.isUnchanged(user, transaction))) throw new WrongPassword('account_changed');
      // Else anybody with an account could mail to anybody.
      const origin = ownAction(userId, client);
      if (await this.mailCap.isReached(userId, 'email_change_requested', origin, transaction)) return;
      const token = await this.tokens.issue(user, 'change_email', transaction, newEmail);
      await this.outbox.add({ userId, email: user.email }, { kind: 'email_change_requested' }, transaction);
      if (owner && owner.id !== userId) {
        const recipient = { userId: owner.id, email: owner.email };
        await this.outbox.add(recipient, { kind: 'email_change_attempted' }, transaction);
      } else {
        await this.outbox.add({ userId, email: newEmail }, { kind: 'confirm_email_change', token }, transaction);
      }
      const entry = ownAction(userId, client, sessionId);
      await this.audit.record({ type: 'user_updated', reason: 'email_change_requested', ...entry }, transaction);
    });
  }

  /**
   * Uses the link that the new address got. Links that were sent to the old address are dead from here on.
   *
   * @throws InvalidOneTimeToken, also when the address has been taken in the meantime.
   */
  async confirm(token: string, client: Client): Promise<void> {
    const { user, newEmail } = await this.tokens.findUsable(token, 'change_email');
    const newCanonical = canonicalEmail(newEmail ?? '');
    if (!newEmail || !newCanonical) throw new InvalidOneTimeToken('not_usable');
    await inTransaction(this.dataSource, async (transaction) => {
      await this.tokens.consume(token, 'change_email', transaction);
      const isChanged = await this.users.changeEmail(user, newEmail, newCanonical, transaction);
      if (!isChanged) throw new InvalidOneTimeToken('email_taken');
      await this.attempts.forget([user.emailCanonical], transaction);
      await this.attempts.begin([newCanonical], transaction);
      for (const email of [user.email, newEmail]) {
        await this.outbox.add({ userId: user.id, email }, { kind: 'email_changed' }, transaction);
      }
      const entry = ownAction(user.id, client);
      await this.audit.record({ type: 'user_updated', reason: 'email_changed', ...entry }, transaction);
    });
  }
}
