import type { VerifierEvent } from './events.js';

/** Where the tokens come from, whom they are for, and how old an answer may be. */
export interface VerifierOptions {
  /** Gatehouse's issuer: equal, byte by byte, to `iss` and to the metadata's `issuer`. A URL. */
  issuer: string;
  /** What `aud` must be: the audience of this service. */
  audience: string;
  /** Of the client that `client:create` made for this service. */
  clientId: string;
  /** Its secret. */
  clientSecret: string;
  /** Where Gatehouse answers, when that is not the issuer: a URL, the endpoints' paths are appended. Default: `issuer`. */
  baseUrl?: string;
  /**
   * How old what we know of revocations may be, in milliseconds: a token that was revoked longer ago is never accepted.
   * Counted from before the request whose answer brought it. 2,000 to 300,000; default 5,000. What is below 4,000 costs
   * requests without a wait: more of them, and news comes later.
   */
  maxStalenessMs?: number;
  /**
   * What to do when it is older, or behind a `minCursor`. `reject`: refuse with `stale` or `behind`. `introspect`: ask
   * Gatehouse about each token. Default
   * `reject`: when the feed does not get through, introspection rarely does, and if it does, every request of every service
   * becomes one of Gatehouse's at its worst moment.
   */
  onStale?: 'introspect' | 'reject';
  /** How long a token that comes with a `minCursor` waits for it, in milliseconds. 0 to 10,000; default 2,000. */
  catchUpMs?: number;
  /**
   * How long Gatehouse may take to begin an answer, beyond the wait that was asked for, in milliseconds. 100 to 60,000;
   * default 5,000. The first answer of the feed may take 30 s.
   */
  timeoutMs?: number;
  /**
   * Milliseconds since the epoch. Default `Date.now`. The monotonic clock counts besides, so it cannot be held back. While it
   * gives no number, or throws, no token is accepted.
   */
  clock?: () => number;
  /**
   * Sends the requests, for those who need a proxy or certificates of their own. Default: `node:http` and `node:https`,
   * which unlike `fetch` do not keep the process alive while they wait for news.
   */
  fetch?: typeof globalThis.fetch;
  /** Told of what happens besides answers: for your log and metrics. What it throws, at once or later, is ignored. */
  onEvent?: (event: VerifierEvent) => unknown;
}

/** Options with their defaults. */
export type Settings = Required<Omit<VerifierOptions, 'fetch'>> & Pick<VerifierOptions, 'fetch'>;

/** Why the verifier cannot do what was asked of it. */
export class VerifierError extends Error {
  /**
   * - `invalid_options`: the message names each and its reason, never a value
   * - `invalid_client`: Gatehouse does not accept `clientId` and `clientSecret`
   * - `timeout`: `ready` took longer than it was given
   * - `closed`
   */
  constructor(
    readonly code: 'invalid_options' | 'invalid_client' | 'timeout' | 'closed',
    message: string,
  ) {
    super(message);
    this.name = 'VerifierError';
  }
}

/**
 * Fills in the defaults.
 *
 * @throws VerifierError `invalid_options`
 */
export function settingsOf(options: VerifierOptions): Settings {
  const given = Object(options) as Record<string, unknown>;
  const problems: string[] = [];
  const check = (isGood: boolean, problem: string) => {
    if (!isGood) problems.push(problem);
  };
  const optional = (name: string, isGood: (value: unknown) => boolean, what: string) =>
    check(given[name] === undefined || isGood(given[name]), `${name} must be ${what}`);
  const milliseconds = (name: string, min: number, max: number) =>
    optional(name, (value) => isInteger(value, min, max), `a whole number of milliseconds from ${min} to ${max}`);

  for (const name of ['audience', 'clientId', 'clientSecret']) {
    check(typeof given[name] === 'string' && given[name] !== '', `${name} must be a text that is not empty`);
  }
  check(isHttpUrl(given['issuer']), 'issuer must be an http or https URL without query, fragment and credentials');
  optional('baseUrl', isHttpUrl, 'an http or https URL without query, fragment and credentials');
  milliseconds('maxStalenessMs', 2_000, 300_000);
  milliseconds('catchUpMs', 0, 10_000);
  milliseconds('timeoutMs', 100, 60_000);
  optional('onStale', (value) => value === 'introspect' || value === 'reject', `'introspect' or 'reject'`);
  for (const name of ['clock', 'fetch', 'onEvent'])
    optional(name, (value) => typeof value === 'function', 'a function');
  for (const name of Object.keys(given)) check(NAMES.has(name), `${name} is not an option`);
  if (problems.length > 0) throw new VerifierError('invalid_options', problems.join('; '));

  return {
    ...options,
    baseUrl: (options.baseUrl ?? options.issuer).replace(/\/+$/, ''),
    maxStalenessMs: options.maxStalenessMs ?? 5_000,
    onStale: options.onStale ?? 'reject',
    catchUpMs: options.catchUpMs ?? 2_000,
    timeoutMs: options.timeoutMs ?? 5_000,
    clock: options.clock ? checked(options.clock) : Date.now,
    onEvent: options.onEvent ?? (() => undefined),
  };
}

/** NaN for whatever is no time. */
function checked(clock: () => number): () => number {
  return () => {
    try {
      const now = clock();
      return Number.isFinite(now) ? now : NaN;
    } catch {
      return NaN;
    }
  };
}

const NAMES = new Set(
  Object.keys({
    issuer: true,
    audience: true,
    clientId: true,
    clientSecret: true,
    baseUrl: true,
    maxStalenessMs: true,
    onStale: true,
    catchUpMs: true,
    timeoutMs: true,
    clock: true,
    fetch: true,
    onEvent: true,
  } satisfies Record<keyof VerifierOptions, true>),
);

function isInteger(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

function isHttpUrl(value: unknown): boolean {
  if (typeof value !== 'string' || !URL.canParse(value)) return false;
  const { protocol, search, hash, username, password } = new URL(value);
  return /^https?:$/.test(protocol) && search + hash + username + password === '';
}
