import { DomainError } from '../common/domain-error.js';

/** 400 `invalid_request` (RFC 6749, section 5.2): a parameter is missing, sent twice or cannot be read. */
export class InvalidRequest extends DomainError {
  readonly kind = 'malformed';
  constructor(message: string, detail?: string) {
    super('invalid_request', message, { ...(detail !== undefined && { detail }) });
  }
}

/** 401 `invalid_client`: no client, an unknown or disabled one, or not its secret. Which of them is for the log. */
export class InvalidClient extends DomainError {
  readonly kind = 'unauthenticated';
  constructor(detail: string) {
    super('invalid_client', 'Client authentication failed.', {
      detail,
      headers: { 'WWW-Authenticate': 'Basic realm="gatehouse"' },
    });
  }
}
