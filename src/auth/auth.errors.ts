import { DomainError } from '../common/domain-error.js';

const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="gatehouse"' };

/** Why a check of a password failed, for the log, the events and the metrics alone. */
export type FailureReason = 'no_such_user' | 'wrong_password' | 'locked';

/** 401 for every login that fails: who has an account, and why it failed, is for the log alone. */
export class InvalidCredentials extends DomainError {
  readonly kind = 'unauthenticated';
  constructor(detail: FailureReason | 'account_changed') {
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

/** 403, and only after the right password: an operator has disabled the account. */
export class AccountDisabled extends DomainError {
  readonly kind = 'forbidden';
  constructor() {
    super('account_disabled', 'This account is disabled. Ask the support of the service.');
  }
}

/** 403, and only after the right password: the address waits for its confirmation. */
export class EmailNotVerified extends DomainError {
  readonly kind = 'forbidden';
  constructor() {
    super('email_not_verified', 'Confirm your e-mail address first: open the link that was sent to it.');
  }
}

/** 403 where somebody who is logged in has to give their password once more. */
export class WrongPassword extends DomainError {
  readonly kind = 'forbidden';
  constructor(detail: FailureReason | 'account_changed') {
    super('wrong_password', 'The current password is wrong.', { detail });
  }
}

/** 422 for the token of a link that was used, replaced, has expired or was never ours. */
export class InvalidOneTimeToken extends DomainError {
  readonly kind = 'invalid';
  constructor(detail: 'not_usable' | 'account_changed' | 'email_taken') {
    super('invalid_or_expired_token', 'The link was used, replaced by a newer one, or is too old. Ask for a new one.', {
      detail,
    });
  }
}

/** 422: the address was signed up more than once, so its owner chooses the password. The link stays good. */
export class PasswordRequired extends DomainError {
  readonly kind = 'invalid';
  constructor() {
    super('password_required', 'Choose a password to finish: send it as new_password.');
  }
}
