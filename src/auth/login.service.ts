import { Injectable } from '@nestjs/common';
import { AuditTrail } from '../audit/audit-trail.js';
import { Unavailable } from '../common/domain-error.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { canonicalEmail } from '../users/email-address.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { AccountDisabled, EmailNotVerified, InvalidCredentials } from './auth.errors.js';
import { DeviceTokens } from './device-tokens.js';
import { LoginPairs } from './login-pairs.js';
import { PasswordAttempts, type Candidate } from './password-attempts.js';
import { PasswordHasher } from './password-hasher.js';

export interface Credentials {
  email: string;
  password: string;
  /** Of an earlier login on this device; whatever else it is counts as none. */
  deviceToken?: string | undefined;
}

/** Whose password was right. */
export type Authenticated = Candidate & { user: User };

@Injectable()
export class LoginService {
  constructor(
    private readonly config: Config,
    private readonly users: UserRepository,
    private readonly devices: DeviceTokens,
    private readonly pairs: LoginPairs,
    private readonly attempts: PasswordAttempts,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Who the credentials belong to.
   *
   * @throws InvalidCredentials, the same for an unknown address, a wrong password and a locked account, after equal work;
   * after the right password AccountDisabled and EmailNotVerified.
   */
  async authenticate({ email, password, deviceToken }: Credentials, client: Client): Promise<Authenticated> {
    const emailCanonical = canonicalEmail(email);
    const user = emailCanonical ? await this.users.findByEmailWithHash(emailCanonical) : null;
    const device = await this.devices.recognise(deviceToken, user?.id);
    const candidate = { identifier: emailCanonical ?? email, user, device };
    const bucket = this.attempts.bucketOf(candidate.identifier);
    const isRefused = !device && (await this.pairs.isSpent(client, bucket));
    const event = { type: 'authn_login_fail', actor: { type: 'anonymous' }, client } as const;
    const attempt = await this.attempts.check(candidate, password, event, isRefused);
    if (!attempt.matches) {
      if (!device) await this.pairs.fail(client, bucket); // of a locked account too: else it would answer sooner
      this.metrics.loginAttempts.inc({ result: attempt.reason });
      throw new InvalidCredentials(attempt.reason);
    }
    const authenticated = { ...candidate, user: attempt.user };
    await this.refuseUnusable(authenticated, client);
    if (attempt.isOutdated) await this.upgrade(authenticated, password);
    return authenticated;
  }

  /** Whoever has given the right password may know why it is not enough. */
  private async refuseUnusable(candidate: Authenticated, client: Client): Promise<void> {
    const { user } = candidate;
    const isUnverified = this.config.emailVerification === 'required' && !user.emailVerified;
    if (!user.disabledAt && !isUnverified) return;
    const reason = user.disabledAt ? 'account_disabled' : 'email_not_verified';
    await this.attempts.settle(candidate, async (transaction) => {
      await this.attempts.succeed(candidate, transaction);
      const entry = { actor: { type: 'anonymous' }, subjectId: user.id, client, reason } as const;
      await this.audit.record({ type: 'authn_login_fail', outcome: 'failure', ...entry }, transaction);
    });
    this.metrics.loginAttempts.inc({ result: reason });
    throw user.disabledAt ? new AccountDisabled() : new EmailNotVerified();
  }

  /** The password is right: a full queue must not turn the login away, the next one upgrades as well. */
  private async upgrade(authenticated: Authenticated, password: string): Promise<void> {
    const { id, passwordHash } = authenticated.user;
    try {
      await this.users.upgradePasswordHash(id, passwordHash, await this.hasher.hash(id, password));
    } catch (error) {
      if (error instanceof Unavailable) return;
      await this.attempts.giveBack(authenticated);
      throw error;
    }
  }
}
