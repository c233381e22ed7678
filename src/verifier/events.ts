/** What happens besides answers. No event has a secret or a token in it. */
export type VerifierEvent =
  /** The first sync is done. */
  | { name: 'ready'; cursor: string }
  /** A request for the feed, or its answer, was no good. Tried again after `retryInMs`. */
  | { name: 'feed_failed'; reason: FeedFailureReason; detail: string; retryInMs: number }
  | { name: 'feed_recovered'; cursor: string }
  /** The feed calls this signing key compromised; it is dropped. */
  | { name: 'key_revoked'; kid: string }
  /** The JWKS could not be had; the keys that are known stay. */
  | { name: 'keys_failed'; detail: string }
  /** Told once a second at most. */
  | { name: 'introspection_failed'; detail: string };

/**
 * - `unreachable`: no answer, or not in time
 * - `invalid_client`: 401, the client or its secret is wrong
 * - `status`: another answer than 200
 * - `refused`: an answer that is not signed by Gatehouse, not of this issuer, not well-formed, not to what was asked, or
 *   older than one before
 * - `keys`: no JWKS yet
 */
export type FeedFailureReason = 'unreachable' | 'invalid_client' | 'status' | 'refused' | 'keys';

/** A feed that does not work, and why. */
export class FeedFailure extends Error {
  constructor(
    readonly reason: FeedFailureReason,
    message: string,
    /** What the answer's `Retry-After` says, in seconds. */
    readonly retryAfterSeconds = 0,
  ) {
    super(message);
  }
}

/** Tells an observer. Its mistake, at once or later, is no reason to refuse or to accept. */
export function tell(observer: () => unknown): void {
  try {
    Promise.resolve(observer()).catch(() => undefined);
  } catch {
    // as above
  }
}

/** What an error says about a request that failed, without the address or anything that was sent. */
export function detailOf(error: unknown): string {
  const { code, message, cause } = Object(error) as { code?: unknown; message?: unknown; cause?: { code?: unknown } };
  return [cause?.code, code, message].find((detail) => typeof detail === 'string') ?? 'unknown';
}
