/** The server may answer from a read that began so long before, in milliseconds. */
export const SERVER_READ_AGE_MS = 1_000;
const MAX_WAIT_SECONDS = 25;
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;
const MAX_RETRY_AFTER_SECONDS = 60;
const INVALID_CLIENT_RETRY_MS = 30_000;

/** How to ask a feed that has nothing new. */
export interface Pace {
  /** Seconds to wait for news. */
  waitSeconds: number;
  /** Milliseconds between two requests when there is no wait in them. */
  pauseMs: number;
}

/**
 * How to keep within a staleness while nothing happens. It counts from before a request is sent, so just before the next
 * answer it is two waits and the server's second: that shall be three quarters of what is allowed.
 */
export function paceFor(maxStalenessMs: number): Pace {
  const roundMs = (0.75 * maxStalenessMs - SERVER_READ_AGE_MS) / 2;
  const waitSeconds = Math.min(MAX_WAIT_SECONDS, Math.floor(roundMs / 1000));
  return { waitSeconds, pauseMs: waitSeconds > 0 ? 0 : roundMs };
}

/** What went wrong, as far as the next attempt is concerned. */
export interface Setback {
  isInvalidClient: boolean;
  retryAfterSeconds: number;
  /** How many in a row, this one included. */
  failures: number;
}

/**
 * When to try again, in milliseconds: twice as long each time up to 5 s, less up to a half at random; not before the server
 * wants it, and then not all at once; every half a minute, give or take a fifth, when the secret is wrong.
 *
 * @param random 0 to 1
 */
export function retryDelayMs(
  { isInvalidClient, retryAfterSeconds, failures }: Setback,
  random = Math.random(),
): number {
  const backoff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16)) * (1 - random / 2);
  const wanted = Math.min(retryAfterSeconds, MAX_RETRY_AFTER_SECONDS) * 1000 * (1 + random / 5);
  const refused = isInvalidClient ? INVALID_CLIENT_RETRY_MS * (0.8 + random * 0.4) : 0;
  return Math.round(Math.max(backoff, wanted, refused));
}
