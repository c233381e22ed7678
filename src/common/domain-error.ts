/** Ours: what went wrong in principle. The problem filter maps each kind to one HTTP status. */
export type ErrorKind =
  | 'malformed' // the request cannot be read at all
  | 'unauthenticated'
  | 'forbidden' // we know who it is, and they may not
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'too_large'
  | 'unsupported_media_type'
  | 'too_many'
  | 'invalid' // readable, but a field is missing, mistyped or refused by policy
  | 'unavailable'
  | 'internal';

/** The HTTP status of each kind. Exhaustive, so that a new kind without a status does not compile. */
export const STATUS: Record<ErrorKind, number> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_large: 413,
  unsupported_media_type: 415,
  invalid: 422,
  too_many: 429,
  internal: 500,
  unavailable: 503,
};

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One field of a refused body. `field` is a name of ours, or `body` for a field we do not know: its name is the client's. */
export interface FieldError {
  field: string;
  code: string;
  message: string;
}

export interface DomainErrorOptions {
  /** For the log only: never sent to a client. */
  detail?: string;
  /** Extra response headers (for example `Retry-After`). */
  headers?: Record<string, string>;
  fields?: FieldError[];
  cause?: unknown;
}

/**
 * An expected failure with two audiences: `code` and `message` are the contract with the client, `detail` is for the
 * operator's log. Unexpected failures are not DomainErrors; they answer 500 and say nothing.
 */
export abstract class DomainError extends Error {
  abstract readonly kind: ErrorKind;
  readonly logLevel: LogLevel = 'info';
  readonly detail: string | undefined;
  readonly headers: Record<string, string>;
  readonly fields: FieldError[] | undefined;

  constructor(
    readonly code: string,
    message: string,
    options: DomainErrorOptions = {},
  ) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
    this.fields = options.fields;
  }
}

/** 400: the request is not one we can read. */
export class MalformedRequest extends DomainError {
  readonly kind = 'malformed';
}

/** 404: no such thing, or not yours, which is the same answer (ASVS 8.2.2). */
export class NotFound extends DomainError {
  readonly kind = 'not_found';
  constructor(detail?: string) {
    super('not_found', 'There is nothing here.', { ...(detail && { detail }) });
  }
}

/** 405, with `Allow` (RFC 9110, section 15.5.6). */
export class MethodNotAllowed extends DomainError {
  readonly kind = 'method_not_allowed';
  constructor(allowed: string[]) {
    super('method_not_allowed', 'This address does not take that method.', { headers: { Allow: allowed.join(', ') } });
  }
}

/** 413: more than 16 KiB. */
export class BodyTooLarge extends DomainError {
  readonly kind = 'too_large';
  constructor() {
    super('body_too_large', 'The body is larger than 16 KiB.');
  }
}

export type BodyType = 'application/json' | 'application/x-www-form-urlencoded';

/** 415: a body is due and its content type is not the one that the route takes, in UTF-8, or it is compressed. */
export class UnsupportedMediaType extends DomainError {
  readonly kind = 'unsupported_media_type';
  constructor(due: BodyType) {
    super('unsupported_media_type', `Send the body as ${due}, UTF-8, not compressed.`);
  }
}

/** 422, with one entry per refused field. */
export class InvalidFields extends DomainError {
  readonly kind = 'invalid';
  constructor(fields: FieldError[]) {
    super('invalid_fields', 'One or more fields are missing, of the wrong type or refused.', { fields });
  }
}

/**
 * 401 for a bearer token. RFC 6750, section 3: no error code in the challenge when the request carried no token.
 */
export class InvalidToken extends DomainError {
  readonly kind = 'unauthenticated';
  constructor(detail: string) {
    super('invalid_token', 'The access token is missing, expired, revoked or not valid here.', {
      detail,
      headers: {
        'WWW-Authenticate':
          detail === 'no_token' ? 'Bearer realm="gatehouse"' : 'Bearer realm="gatehouse", error="invalid_token"',
      },
    });
  }
}

/** 429: the client address has used up a budget (RFC 6585, section 4). */
export class TooManyRequests extends DomainError {
  readonly kind = 'too_many';
  constructor(budget: string, retryAfterSeconds: number) {
    super('too_many_requests', 'Too many requests from your address. Try again later.', {
      detail: budget,
      headers: { 'Retry-After': String(retryAfterSeconds) },
    });
  }
}

/** 503: something we depend on does not answer, or a queue is full. Never a yes and never a no. */
export class Unavailable extends DomainError {
  readonly kind = 'unavailable';
  override readonly logLevel = 'warn';
  constructor(detail: string, retryAfterSeconds: number, cause?: unknown) {
    super('unavailable', 'The service cannot answer right now. Try again shortly.', {
      detail,
      headers: { 'Retry-After': String(retryAfterSeconds) },
      cause,
    });
  }
}
