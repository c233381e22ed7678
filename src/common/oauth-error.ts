import type { FastifyRequest } from 'fastify';
import { STATUS, type BodyType, type DomainError, type ErrorKind } from './domain-error.js';

/** Routes below it take forms, and answer errors in OAuth's form. */
const PREFIX = '/oauth/';

/** What OAuth has a word for. Of the others the kind decides. */
const CODES = new Set(['invalid_request', 'invalid_client']);
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

/** Whether a request is for an endpoint of OAuth, by the route that was found: an address can be written in many ways. */
export function isOAuth(request: FastifyRequest): boolean {
  return !request.is404 && request.routeOptions.url?.startsWith(PREFIX) === true;
}

/** What the body of a request has to be. */
export function bodyTypeOf(request: FastifyRequest): BodyType {
  return isOAuth(request) ? 'application/x-www-form-urlencoded' : 'application/json';
}

/** RFC 6749, section 5.2. */
export function toOAuthError({ code, kind, message }: DomainError): { error: string; error_description: string } {
  return { error: CODES.has(code) ? code : (BY_KIND[kind] ?? 'invalid_request'), error_description: message };
}

export function oauthStatus({ kind }: DomainError): number {
  return OWN_STATUS.has(kind) ? STATUS[kind] : 400;
}
