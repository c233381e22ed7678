import { STATUS, type DomainError, type ErrorKind } from './domain-error.js';

/** Routes below it answer errors in OAuth's form. */
export const OAUTH_PREFIX = '/oauth/';

/** What OAuth has a word for. Of the others the kind decides. */
const CODES = new Set(['invalid_request', 'invalid_client', 'unsupported_token_type']);
const BY_KIND: Partial<Record<ErrorKind, string>> = {
  unavailable: 'temporarily_unavailable',
  too_many: 'temporarily_unavailable',
  internal: 'server_error',
};
/** Kinds that HTTP tells apart; every other mistake of a client is 400. */
const OWN_STATUS = new Set<ErrorKind>([
  'unauthenticated',
  'too_large',
  'unsupported_media_type',
  'too_many',
  'internal',
  'unavailable',
]);

/** RFC 6749, section 5.2. */
export function toOAuthError({ code, kind, message }: DomainError): { error: string; error_description: string } {
  return { error: CODES.has(code) ? code : (BY_KIND[kind] ?? 'invalid_request'), error_description: message };
}

export function oauthStatus({ kind }: DomainError): number {
  return OWN_STATUS.has(kind) ? STATUS[kind] : 400;
}
