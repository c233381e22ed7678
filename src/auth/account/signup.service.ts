import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { AuditTrail } from '../../audit/audit-trail.js';
import { Clock } from '../../common/clock.js';
import { InvalidFields, type FieldError } from '../../common/domain-error.js';
import type { Client } from '../../common/principal.js';
import { inTransaction } from '../../database/transaction.js';
import { canonicalEmail } from '../../users/email-address.js';
import { UserRepository, type NewUser } from '../../users/user.repository.js';
import { EmailTaken } from '../auth.errors.js';
import { MailRequestRepository } from '../mail-request.repository.js';
import { PasswordAttempts } from '../password-attempts.js';
import { PasswordHasher } from '../password-hasher.js';
import { assertWellFormed, PasswordPolicy } from '../password-policy.js';

@Injectable()
export class SignupService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly policy: PasswordPolicy,
    private readonly hasher: PasswordHasher,
    private readonly users: UserRepository,
    private readonly mailRequests: MailRequestRepository,
    private readonly attempts: PasswordAttempts,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
  ) {}

  /**
   * A new account that can be used at once (`EMAIL_VERIFICATION=none`).
   *
   * @throws InvalidFields, naming every refused field; EmailTaken; MalformedRequest for a password that is not Unicode.
   */
  async signUp(email: string, password: string, client: Client): Promise<NewUser> {
    const user = await this.prepare(email, password);
    const isNew = await inTransaction(this.dataSource, async (transaction) => {
      const isAdded = await this.users.add(user, transaction);
      await this.attempts.begin([user.emailCanonical], transaction);
      await this.record(user, isAdded, client, transaction);
      return isAdded;
    });
    if (!isNew) throw new EmailTaken();
    return user;
  }

  /**
   * Takes a sign-up, and says to nobody whether the address had an account (`EMAIL_VERIFICATION=required`): the same work
   * and the same answer either way. What the mail to the address will say is found out later, off the request.
   *
   * An account of that address that never showed that it is its own loses its password and its links here: its owner may be
   * either of the two who signed up, and will choose a new one with the link.
   *
   * @throws InvalidFields and MalformedRequest as `signUp`.
   */
  async request(email: string, password: string, client: Client): Promise<void> {
    const user = await this.prepare(email, password);
    const { id, emailCanonical, createdAt } = user;
    await inTransaction(this.dataSource, async (transaction) => {
      await this.users.addOrDropUnverified({ ...user, pendingSince: createdAt }, transaction);
      await this.attempts.begin([emailCanonical], transaction);
      await this.mailRequests.add({ kind: 'signup', emailCanonical }, client, transaction);
      await this.record(user, await this.users.exists(id, transaction), client, transaction);
    });
  }

  private async prepare(email: string, password: string): Promise<NewUser> {
    assertWellFormed(password);
    const emailCanonical = canonicalEmail(email);
    const refused: FieldError[] = [];
    if (!emailCanonical) refused.push({ field: 'email', code: 'email_invalid', message: 'Not an e-mail address.' });
    const problem = await this.policy.problem(password, email);
    if (problem) refused.push({ field: 'password', ...problem });
    if (!emailCanonical || refused.length > 0) throw new InvalidFields(refused);

    const id = uuidv7();
    return {
      id,
      email,
      emailCanonical,
      passwordHash: await this.hasher.hash(id, password),
      createdAt: this.clock.now(),
    };
  }

  private record(user: NewUser, isNew: boolean, client: Client, transaction: EntityManager): Promise<void> {
    const entry = { type: 'user_created', actor: { type: 'anonymous' }, client } as const;
    if (isNew) return this.audit.record({ ...entry, subjectId: user.id }, transaction);
    const details = { account: this.attempts.accountOf(user.emailCanonical) };
    return this.audit.record({ ...entry, outcome: 'failure', reason: 'email_taken', details }, transaction);
  }
}
