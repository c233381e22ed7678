import { tell, type VerifierEvent } from './events.js';
import { FeedFollower } from './feed-follower.js';
import { parseCursor } from './feed-page.js';
import { HttpClient, keepAlive } from './http-client.js';
import { Introspection } from './introspection.js';
import { KeySet } from './key-set.js';
import { KeySource } from './key-source.js';
import { settingsOf, type Settings, type VerifierOptions } from './options.js';
import { RememberedTokens } from './remembered-tokens.js';
import type { RefusalReason, VerifyResult } from './result.js';
import { Revocations } from './revocations.js';
import { Stopwatch } from './stopwatch.js';
import { authenticate, problemNow, type AuthenticToken } from './token-check.js';

export type { VerifierEvent, FeedFailureReason } from './events.js';
export { VerifierError, type VerifierOptions } from './options.js';
export type {
  AccessTokenClaims,
  InvalidTokenReason,
  RefusalReason,
  UnavailableReason,
  VerifyResult,
} from './result.js';

const REMEMBERED_TOKENS = 10_000;

/** Checks Gatehouse's access tokens. It has the keys and the revocations in memory, and asks nobody about a token. */
export interface Verifier {
  /**
   * Until the keys and the feed are here. Goes on trying while Gatehouse cannot be reached; `onEvent` says why. Keeps the
   * process alive until then, which the verifier otherwise does not.
   *
   * @throws VerifierError `invalid_client` when Gatehouse refuses the client; `timeout` after `timeoutMs`; `closed`. It
   * goes on trying after that too.
   */
  ready(options?: { timeoutMs?: number }): Promise<void>;

  /**
   * What a token is worth now. Never throws, and never says yes on knowledge older than `maxStalenessMs`.
   *
   * @param options.minCursor what logout answered in `Revocation-Cursor`: a token is judged by what is known up to there.
   */
  verify(token: string, options?: { minCursor?: string | undefined }): Promise<VerifyResult>;

  /** How far the feed was read; undefined before the first sync. */
  readonly cursor: string | undefined;

  /** How old what is known of revocations may be, at most, in milliseconds. Infinity before the first sync. */
  stalenessMs(): number;

  /** Ends every request and timer; no token is accepted from here on. */
  close(): Promise<void>;
}

/**
 * A verifier, which begins to follow the feed at once. Until `ready` it accepts nothing.
 *
 * @throws VerifierError `invalid_options`
 */
export function createVerifier(options: VerifierOptions): Verifier {
  return new FollowingVerifier(settingsOf(options));
}

class FollowingVerifier implements Verifier {
  private readonly keys = new KeySet();
  private readonly revocations = new Revocations();
  private readonly remembered = new RememberedTokens(REMEMBERED_TOKENS);
  private readonly stopwatch: Stopwatch;
  private readonly http: HttpClient;
  private readonly keySource: KeySource;
  private readonly follower: FeedFollower;
  private readonly introspection: Introspection;
  private isClosed = false;

  constructor(private readonly settings: Settings) {
    const emit = (event: VerifierEvent) => {
      if (!this.isClosed) tell(() => settings.onEvent(event));
    };
    const { keys, revocations } = this;
    const stopwatch = (this.stopwatch = new Stopwatch(settings.clock));
    const http = (this.http = new HttpClient(settings.fetch));
    const keySource = (this.keySource = new KeySource(settings, http, keys, stopwatch, emit));
    this.follower = new FeedFollower(settings, http, keys, revocations, keySource, stopwatch, emit);
    this.introspection = new Introspection(settings, http, emit);
    this.follower.start();
  }

  ready({ timeoutMs }: { timeoutMs?: number } = {}): Promise<void> {
    return keepAlive(this.follower.started(timeoutMs));
  }

  async verify(token: string, { minCursor }: { minCursor?: string | undefined } = {}): Promise<VerifyResult> {
    if (!this.follower.isSynced) return refused('not_ready');
    let authentic = this.authenticate(token);
    if (authentic === 'unknown_key' && (await keepAlive(this.keySource.lookForToken()))) {
      authentic = this.authenticate(token);
    }
    if (!this.follower.isSynced) return refused('not_ready'); // it may have been closed meanwhile
    if (typeof authentic === 'string') return refused(authentic);
    let result = this.judge(authentic);
    if (result.ok && minCursor !== undefined) result = await this.judgeFrom(minCursor, authentic);
    const isTooOld = !result.ok && (result.reason === 'stale' || result.reason === 'behind');
    const mayAsk = isTooOld && this.settings.onStale === 'introspect';
    return mayAsk ? keepAlive(this.introspect(token, authentic)) : result;
  }

  get cursor(): string | undefined {
    return this.follower.cursor;
  }

  stalenessMs(): number {
    return this.follower.stalenessMs();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const closed = this.follower.close();
    this.http.close();
    this.remembered.clear();
    await closed;
  }

  private authenticate(token: string): AuthenticToken | RefusalReason {
    const known = this.remembered.get(token);
    if (known && this.keys.get(known.key.kid) === known.key) return known;
    const authentic = authenticate(token, this.keys, this.settings);
    if (typeof authentic !== 'string') this.remembered.set(token, authentic);
    return authentic;
  }

  /** By what we know. Everything that can change is asked here, at every use. */
  private judge(authentic: AuthenticToken): VerifyResult {
    const own = Math.floor(this.settings.clock() / 1000);
    if (!this.follower.isSynced || Number.isNaN(own)) return refused('not_ready');
    const now = { own, server: this.follower.serverSeconds };
    const problem = problemNow(authentic, this.keys, this.revocations, now);
    if (problem) return refused(problem);
    const stalenessMs = this.follower.stalenessMs();
    if (stalenessMs >= this.settings.maxStalenessMs) return refused('stale');
    return { ok: true, claims: authentic.claims, stalenessMs };
  }

  /** Only a token that is good so far gets here: nobody else can make us wait. */
  private async judgeFrom(minCursor: string, authentic: AuthenticToken): Promise<VerifyResult> {
    const cursor = parseCursor(minCursor);
    if (!cursor) return refused('malformed_cursor');
    if (this.follower.hasReached(cursor)) return this.judge(authentic);
    const isReached = await this.follower.reach(cursor, this.settings.catchUpMs, authentic.claims.sid);
    const result = this.judge(authentic);
    return result.ok && !isReached ? refused('behind') : result;
  }

  private async introspect(token: string, authentic: AuthenticToken): Promise<VerifyResult> {
    const askedAt = this.stopwatch.mark();
    const isActive = await this.introspection.isActive(token, authentic.claims);
    if (isActive === undefined) return refused('unavailable');
    if (!isActive) return refused('inactive');
    // Time has passed, and news may have come.
    const stalenessMs = this.stopwatch.since(askedAt);
    if (stalenessMs >= this.settings.maxStalenessMs) return refused('unavailable');
    const result = this.judge(authentic);
    return result.ok || result.reason === 'stale' ? { ok: true, claims: authentic.claims, stalenessMs } : result;
  }
}

function refused(reason: RefusalReason): VerifyResult {
  return { ok: false, reason };
}
