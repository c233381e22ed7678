import { tell } from './events.js';
import type { AccessTokenClaims, RefusalReason, UnavailableReason } from './result.js';
import type { Verifier } from './verifier.js';

const REALM = 'realm="gatehouse"';
const RETRY_AFTER_SECONDS = '1';

/** What a request of `node:http`, Express or Fastify has. */
export interface IncomingRequest {
  headers: Record<string, string | string[] | undefined>;
  rawHeaders?: string[];
  raw?: { rawHeaders?: string[] };
}

/** What the adapters leave in `request.auth`. */
export interface Auth {
  claims: AccessTokenClaims;
  stalenessMs: number;
}

/** `no_token`: the request has no bearer token. `two_tokens`: it has more than one `Authorization`. */
export type RequestRefusalReason = RefusalReason | 'no_token' | 'two_tokens';

/** What to answer instead. The reason is for your log: the client learns no more than the status. */
export interface Refusal {
  reason: RequestRefusalReason;
  status: 400 | 401 | 503;
  headers: Record<string, string>;
  /** RFC 9457, `application/problem+json`. */
  body: { title: string; status: number };
}

/** How the adapters tell you. What `onRefused` throws, at once or later, is ignored. */
export interface AdapterOptions {
  onRefused?: (refusal: Refusal, request: IncomingRequest) => unknown;
}

/**
 * Verifies a request: the token of its `Authorization` header, the only place where one is accepted (RFC 6750, section 2.1),
 * and `Min-Revocation-Cursor`.
 */
export async function authenticateRequest(
  verifier: Verifier,
  request: IncomingRequest,
  { onRefused }: AdapterOptions = {},
): Promise<{ auth: Auth } | { auth?: never; refusal: Refusal }> {
  const result = await verifyRequest(verifier, request);
  if (result.ok) return { auth: { claims: result.claims, stalenessMs: result.stalenessMs } };
  const refusal = refusalFor(result.reason);
  tell(() => onRefused?.(refusal, request));
  return { refusal };
}

async function verifyRequest(
  verifier: Verifier,
  request: IncomingRequest,
): Promise<({ ok: true } & Auth) | { ok: false; reason: RequestRefusalReason }> {
  // Node.js keeps the first of two and drops the other, which is the one that a proxy may have looked at.
  const names = (request.rawHeaders ?? request.raw?.rawHeaders ?? []).filter((_, i) => i % 2 === 0);
  if (names.filter((name) => name.toLowerCase() === 'authorization').length > 1) {
    return { ok: false, reason: 'two_tokens' };
  }
  const { authorization, 'min-revocation-cursor': cursor } = request.headers;
  const [, token] = /^Bearer +(\S+)$/i.exec(String(authorization ?? '')) ?? [];
  if (token === undefined) return { ok: false, reason: 'no_token' };
  return verifier.verify(token, { minCursor: cursor === undefined ? undefined : String(cursor) });
}

/** The answer to a request that is refused (RFC 6750, section 3). */
export function refusalFor(reason: RequestRefusalReason): Refusal {
  const challenge = (error?: string) => ({ 'WWW-Authenticate': `Bearer ${REALM}${error ? `, error="${error}"` : ''}` });
  if (isUnavailable(reason)) {
    const headers = { 'Retry-After': RETRY_AFTER_SECONDS };
    return { reason, status: 503, headers, body: { title: 'Service Unavailable', status: 503 } };
  }
  if (reason === 'malformed_cursor' || reason === 'two_tokens') {
    return { reason, status: 400, headers: challenge('invalid_request'), body: { title: 'Bad Request', status: 400 } };
  }
  // No error code for who has sent no token at all.
  const headers = challenge(reason === 'no_token' ? undefined : 'invalid_token');
  return { reason, status: 401, headers, body: { title: 'Unauthorized', status: 401 } };
}

function isUnavailable(reason: RequestRefusalReason): reason is UnavailableReason {
  return reason in UNAVAILABLE;
}

/** All of them, or it does not compile. */
const UNAVAILABLE: Record<UnavailableReason, true> = { not_ready: true, stale: true, behind: true, unavailable: true };
