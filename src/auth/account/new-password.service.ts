import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../../common/clock.js';
import { InvalidFields } from '../../common/domain-error.js';
import { Outbox } from '../../mail/outbox.js';
import { NO_PASSWORD, type User } from '../../users/user.entity.js';
import { DeviceRepository } from '../device.repository.js';
import { FormerPasswordRepository, FORMER_PASSWORDS } from './former-password.repository.js';
import { PasswordHasher } from '../password-hasher.js';
import { PasswordPolicy } from '../password-policy.js';

/** What every replacement of a password has in common, whoever asked for it. */
@Injectable()
export class NewPasswordService {
  constructor(
    private readonly clock: Clock,
    private readonly policy: PasswordPolicy,
    private readonly hasher: PasswordHasher,
    private readonly formerPasswords: FormerPasswordRepository,
    private readonly devices: DeviceRepository,
    private readonly outbox: Outbox,
  ) {}

  /**
   * The stored form of an acceptable new password. Changes nothing.
   *
   * @param user with `passwordHash`.
   * @throws InvalidFields for the field `new_password`: the policy, or the present password or one of the four before it
   * (PCI DSS 8.3.7).
   */
  async prepare(user: User, newPassword: string): Promise<string> {
    await this.policy.assertAcceptable(newPassword, user.email);
    if (await this.isReused(user, newPassword)) {
      const message = `Choose a password that is not one of your last ${FORMER_PASSWORDS + 1}.`;
      throw new InvalidFields([{ field: 'new_password', code: 'password_reused', message }]);
    }
    return this.hasher.hash(user.id, newPassword);
  }

  /**
   * To be called in the transaction that has set the new password: keeps the old one in the history and tells the person.
   * The links that were sent before are dead with the old one.
   *
   * @param user as it was before.
   */
  async replaced(user: User, transaction: EntityManager): Promise<void> {
    if (isStrangers(user)) await this.formerPasswords.deleteAll(user.id, transaction);
    else await this.formerPasswords.add(user.id, user.passwordHash, this.clock.now(), transaction);
    await this.devices.deleteAll(user.id, transaction); // one of them may have been a stranger's
    await this.outbox.add({ userId: user.id, email: user.email }, { kind: 'password_changed' }, transaction);
  }

  private async isReused(user: User, newPassword: string): Promise<boolean> {
    if (isStrangers(user)) return false;
    const former = await this.formerPasswords.find(user.id);
    for (const passwordHash of [user.passwordHash, ...former.map((one) => one.passwordHash)]) {
      if ((await this.hasher.verify({ id: user.id, passwordHash }, newPassword)).matches) return true;
    }
    return false;
  }
}

/** The password was chosen by somebody who never showed that the address is theirs: not to be compared with, nor kept. */
function isStrangers({ pendingSince, passwordHash }: User): boolean {
  return pendingSince !== null || passwordHash === NO_PASSWORD;
}
