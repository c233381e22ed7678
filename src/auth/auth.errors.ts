import { DomainError } from '../common/domain-error.js';

const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="gatehouse"' };

/** 401 for every login that fails: who has an account, and why it failed, is for the log alone. */
export class InvalidCredentials extends DomainError {
  readonly kind = 'unauthenticated';
  constructor(detail: 'no_such_user' | 'wrong_password' | 'account_gone') {
    super('invalid_credentials', 'The e-mail address or the password is wrong.', { detail, headers: CHALLENGE });
  }
}

/** 401 for every refresh token that is refused, for whatever reason. */
export class InvalidRefreshToken extends DomainError {
  readonly kind = 'unauthenticated';
  constructor(detail: string) {
    super('invalid_refresh_token', 'The refresh token is expired, used, ended or not ours. Log in again.', {
      detail,
      headers: CHALLENGE,
    });
  }
}

/** 409: an account with this address exists. */
export class EmailTaken extends DomainError {
  readonly kind = 'conflict';
  constructor() {
    super('email_taken', 'There is an account with this e-mail address already.');
  }
}
