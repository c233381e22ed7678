import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../common/clock.js';
import { InvalidFields, MalformedRequest, type FieldError } from '../common/domain-error.js';
import { canonicalEmail } from '../users/email-address.js';
import { UserRepository, type NewUser } from '../users/user.repository.js';
import { EmailTaken } from './auth.errors.js';
import { PasswordHasher } from './password-hasher.js';
import { PasswordPolicy } from './password-policy.js';

@Injectable()
export class SignupService {
  constructor(
    private readonly policy: PasswordPolicy,
    private readonly hasher: PasswordHasher,
    private readonly users: UserRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * A new account.
   *
   * @throws InvalidFields, naming every refused field; EmailTaken; MalformedRequest for a password that is not Unicode.
   */
  async signUp(email: string, password: string): Promise<NewUser> {
    if (!password.isWellFormed()) {
      throw new MalformedRequest('malformed_body', 'A string of the body is not well-formed Unicode.', {
        detail: 'lone_surrogate',
      });
    }
    const emailCanonical = canonicalEmail(email);
    const refused: FieldError[] = [];
    if (!emailCanonical) refused.push({ field: 'email', code: 'email_invalid', message: 'Not an e-mail address.' });
    const problem = this.policy.problem(password, email);
    if (problem) refused.push({ field: 'password', ...problem });
    if (!emailCanonical || refused.length > 0) throw new InvalidFields(refused);

    const id = uuidv7();
    const passwordHash = await this.hasher.hash(id, password);
    const user = { id, email, emailCanonical, passwordHash, createdAt: this.clock.now() };
    if (!(await this.users.add(user))) throw new EmailTaken();
    return user;
  }
}
