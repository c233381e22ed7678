import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AuditTrail, ownAction } from '../../audit/audit-trail.js';
import type { Client, Principal } from '../../common/principal.js';
import { inTransaction } from '../../database/transaction.js';
import { UserRepository } from '../../users/user.repository.js';
import { WrongPassword } from '../auth.errors.js';
import { NewPasswordService } from './new-password.service.js';
import { ReauthenticationService } from './reauthentication.service.js';
import { SessionService } from '../session.service.js';

@Injectable()
export class PasswordChangeService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly users: UserRepository,
    private readonly reauthentication: ReauthenticationService,
    private readonly newPasswords: NewPasswordService,
    private readonly sessions: SessionService,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * A new password for the caller, who goes on in this session; every other one ends.
   *
   * @throws WrongPassword, InvalidFields.
   */
  async change(principal: Principal, currentPassword: string, newPassword: string, client: Client): Promise<void> {
    const { userId, sessionId } = principal;
    const user = await this.reauthentication.confirm(principal, currentPassword, client, 'authn_password_change_fail');
    const passwordHash = await this.newPasswords.prepare(user, newPassword);
    await inTransaction(this.dataSource, async (transaction) => {
      const isUnchanged = await this.users.setPassword(user, passwordHash, transaction);
      if (!isUnchanged) throw new WrongPassword('account_changed');
      await this.newPasswords.replaced(user, transaction);
      await this.sessions.endAllWithin(transaction, userId, 'password_changed', sessionId);
      const entry = ownAction(userId, client, sessionId);
      await this.audit.record({ type: 'authn_password_change', ...entry }, transaction);
    });
  }
}
