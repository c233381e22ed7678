import { Injectable } from '@nestjs/common';
import { InvalidFields, MalformedRequest, type FieldError } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { BreachedPasswords } from './breached-passwords.js';
import { PasswordBlocklist } from './password-blocklist.js';

const MAX_CODE_POINTS = 128;
const MAX_BYTES = 1024;
const SERVICE_NAME = 'gatehouse';
/** Shorter words are in too many good passwords. */
const MIN_CONTEXT_LETTERS = 3;

type PasswordProblem = Omit<FieldError, 'field'>;

/**
 * What a new password must be (NIST SP 800-63B-4, section 3.1.1.2; ASVS 6.2): long enough, not too long, not known and
 * not made of what an attacker knows. No composition rules, no character refused, nothing trimmed.
 */
@Injectable()
export class PasswordPolicy {
  constructor(
    private readonly config: Config,
    private readonly blocklist: PasswordBlocklist,
    private readonly breached: BreachedPasswords,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Refuses a new password that may not be one.
   *
   * @throws MalformedRequest when it is not Unicode; InvalidFields, with the reason, for the field `new_password`.
   */
  async assertAcceptable(newPassword: string, email: string): Promise<void> {
    assertWellFormed(newPassword);
    const problem = await this.problem(newPassword, email);
    if (problem) throw new InvalidFields([{ field: 'new_password', ...problem }]);
  }

  /**
   * The first reason to refuse `password`, or undefined. Lengths are in code points, after NFC. Only what our own rules
   * let pass is asked about elsewhere (`HIBP_URL`), which may take a second. Not to be called in a transaction.
   *
   * @param email the account's address, as it was typed.
   */
  async problem(password: string, email: string): Promise<PasswordProblem | undefined> {
    return this.problemByRule(password, email) ?? (await this.problemByBreach(password));
  }

  private problemByRule(password: string, email: string): PasswordProblem | undefined {
    const normalised = password.normalize('NFC');
    const length = [...normalised].length;
    const { passwordMinLength } = this.config;
    if (length < passwordMinLength) {
      return {
        code: 'password_too_short',
        message: `Use at least ${passwordMinLength} characters; a few words work well.`,
      };
    }
    if (length > MAX_CODE_POINTS || Buffer.byteLength(normalised) > MAX_BYTES) {
      return { code: 'password_too_long', message: `Use at most ${MAX_CODE_POINTS} characters (${MAX_BYTES} bytes).` };
    }
    if (this.blocklist.has(normalised)) {
      this.metrics.breachedPasswords.inc({ list: 'builtin', use: 'new' });
      return {
        code: 'password_common',
        message: 'This password is on lists that attackers try first. Choose another.',
      };
    }
    if (isContextWord(normalised, contextWords(email))) {
      return {
        code: 'password_predictable',
        message: 'This is the name of the service or your e-mail address, repeated or with digits. Choose another.',
      };
    }
    return undefined;
  }

  private async problemByBreach(password: string): Promise<PasswordProblem | undefined> {
    if (!(await this.breached.has(password))) return undefined;
    this.metrics.breachedPasswords.inc({ list: 'range', use: 'new' });
    return {
      code: 'password_breached',
      message: 'This password is in a list of stolen ones, which attackers try. Choose one that you use nowhere else.',
    };
  }
}

/** @throws MalformedRequest for a lone surrogate: all of them hash alike. */
export function assertWellFormed(password: string): void {
  if (password.isWellFormed()) return;
  throw new MalformedRequest('malformed_body', 'A string of the body is not well-formed Unicode.', {
    detail: 'lone_surrogate',
  });
}

/** Documented in docs/security.md: the service, the address, its local part, its domain and the domain's first label. */
function contextWords(email: string): string[] {
  const [local = '', domain = ''] = email.split('@');
  return [SERVICE_NAME, email, local, domain, domain.split('.')[0] ?? ''];
}

/** The whole password is one of the words, once or repeated, whatever digits and signs stand around it. */
function isContextWord(password: string, words: string[]): boolean {
  const letters = lettersOf(password);
  return words.map(lettersOf).some((word) => {
    if (word.length < MIN_CONTEXT_LETTERS || letters.length % word.length !== 0) return false;
    return letters !== '' && letters === word.repeat(letters.length / word.length);
  });
}

const lettersOf = (text: string) =>
  text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[^\p{L}]/gu, '');
