import { Injectable } from '@nestjs/common';
import type { AuditEventType } from '../../audit/audit-event.entity.js';
import { InvalidToken } from '../../common/domain-error.js';
import type { Client, Principal } from '../../common/principal.js';
import type { User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import { WrongPassword } from '../auth.errors.js';
import { PasswordAttempts } from '../password-attempts.js';

/** Before a change that a stolen token must not be enough for (ASVS 7.5.1). */
@Injectable()
export class ReauthenticationService {
  constructor(
    private readonly users: UserRepository,
    private readonly attempts: PasswordAttempts,
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
    const candidate = { identifier: user.emailCanonical, user };
    const event = { type, actor: { type: 'user', id: userId }, sessionId, client } as const;
    const attempt = await this.attempts.check(candidate, password, event);
    if (!attempt.matches) throw new WrongPassword(attempt.reason);
    await this.attempts.settle(candidate, (transaction) => this.attempts.succeed(candidate, transaction));
    return user;
  }
}
