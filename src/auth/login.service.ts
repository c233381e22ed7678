import { Injectable } from '@nestjs/common';
import { Unavailable } from '../common/domain-error.js';
import { canonicalEmail } from '../users/email-address.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { InvalidCredentials } from './auth.errors.js';
import { PasswordHasher } from './password-hasher.js';

/** Whoever has just given the right password. */
export interface AuthenticatedUser {
  userId: string;
}

@Injectable()
export class LoginService {
  constructor(
    private readonly users: UserRepository,
    private readonly hasher: PasswordHasher,
  ) {}

  /**
   * Who the credentials belong to.
   *
   * @throws InvalidCredentials, the same for an unknown address and a wrong password, after equal work.
   */
  async authenticate(email: string, password: string): Promise<AuthenticatedUser> {
    const emailCanonical = canonicalEmail(email);
    const user = emailCanonical ? await this.users.findByEmailWithHash(emailCanonical) : null;
    // Equal work when there is no such account, so time tells nothing (OWASP Authentication Cheat Sheet, "Error Messages").
    const { matches, isOutdated } = await this.hasher.verify(user ?? (await this.hasher.decoy()), password);
    if (!user || !matches) throw new InvalidCredentials(user ? 'wrong_password' : 'no_such_user');
    if (isOutdated) await this.upgrade(user, password);
    return { userId: user.id };
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
