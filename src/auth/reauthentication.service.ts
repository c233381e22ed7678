import { Injectable } from '@nestjs/common';
import { AuditTrail } from '../audit/audit-trail.js';
import type { AuditEventType } from '../audit/audit-event.entity.js';
import { InvalidToken } from '../common/domain-error.js';
import type { Client, Principal } from '../common/principal.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { WrongPassword } from './auth.errors.js';
import { PasswordAttempts } from './password-attempts.js';

/** Before a change that a stolen token must not be enough for (ASVS 7.5.1). */
@Injectable()
export class ReauthenticationService {
  constructor(
    private readonly users: UserRepository,
    private readonly attempts: PasswordAttempts,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * The caller's account, with `passwordHash`, if this is its password. A wrong one counts like a failed login.
   *
   * @param type of the event that a refusal is recorded as.
   * @throws WrongPassword, also while the account is locked.
   */
  async confirm(
    { userId, sessionId }: Principal,
    password: string,
    client: Client,
    type: AuditEventType,
  ): Promise<User> {
    const user = await this.users.findByIdWithHash(userId);
    if (!user) throw new InvalidToken('no_such_user');
    const { matches, isLocked } = await this.attempts.check(user.emailCanonical, user, password, client);
    if (matches) return user;
    const reason = isLocked ? 'locked' : 'wrong_password';
    const entry = { actor: { type: 'user', id: userId }, subjectId: userId, sessionId, client, reason } as const;
    await this.audit.record({ type, outcome: 'failure', ...entry });
    throw new WrongPassword(reason);
  }
}
