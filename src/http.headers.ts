import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { validate as isUuid } from 'uuid';

/** On every answer, also on those that never become a request (ASVS 3.4; OWASP REST Security Cheat Sheet, "Security Headers"). */
export const SECURITY_HEADERS = {
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Tokens and personal data are in nearly every answer; what may be cached says so itself.
  'cache-control': 'no-store',
};

/** The client's `X-Request-Id` where that is a UUID, otherwise a new one. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && isUuid(given) ? given : randomUUID();
}

/**
 * How often a header is in a request: Node joins or drops repeated ones, and only the raw list shows that there were two.
 *
 * @param name in lower case.
 */
export function countHeader(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const header = rawHeaders[i] as string;
    if (header.length === name.length && header.toLowerCase() === name) count++;
  }
  return count;
}
