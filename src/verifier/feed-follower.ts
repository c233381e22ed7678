import { headerOf } from './compact-jws.js';
import { detailOf, FeedFailure, type VerifierEvent } from './events.js';
import { applyPage, formatCursor, readPage, type Cursor, type FeedPage } from './feed-page.js';
import { basicCredentials, type HttpAnswer, type HttpClient } from './http-client.js';
import type { KeySet } from './key-set.js';
import type { KeySource } from './key-source.js';
import { VerifierError, type Settings } from './options.js';
import { paceFor, retryDelayMs, SERVER_READ_AGE_MS, type Pace } from './pace.js';
import type { Revocations } from './revocations.js';
import { ServerTime } from './server-time.js';
import type { Mark, Stopwatch } from './stopwatch.js';

/** A million revocations are about 130 MB. */
const MAX_OCTETS = 256_000_000;
/** Everything that is live takes the server longer to tell than what is new. */
const FIRST_TIMEOUT_MS = 30_000;
const BODY_TIMEOUT_MS = 60_000;
/** A server that answers at once, again and again, with nothing new, is not asked more often than this. */
const MIN_ROUND_MS = 250;
/** Who waits for a cursor may end a pause, so often. */
const MIN_NUDGE_MS = 1_000;
/** So many wait for a cursor at the same time, */
const MAX_WAITING = 1_000;
/** and so many of one session, which has no use for more. */
const MAX_WAITING_PER_SESSION = 8;
/** Nobody is so many revocations behind for a moment only: such a cursor was made up. */
const MAX_AHEAD = 1_000_000;
/** After a sync that worked, so many 401 in a row may be the mistake of a moment. */
const DOUBTED_REFUSALS = 5;

/**
 * Follows the feed of revocations: one request at a time, the next one as soon as there was an answer. What it hears goes
 * into the keys and the revocations; how long ago that was true, it knows.
 */
export class FeedFollower {
  private readonly pace: Pace;
  private readonly serverTime = new ServerTime();
  private place: Cursor | undefined;
  /** When the request was sent whose answer we have. */
  private askedAt: Mark | undefined;
  private isReady = false;
  private isClosed = false;
  private failures = 0;
  private lastFailure: FeedFailure | undefined;
  private endPause: (() => void) | undefined;
  private nudgedAt = -Infinity;
  private running: Promise<void> = Promise.resolve();
  private readonly starting = new Set<(error?: VerifierError) => void>();
  private readonly waiting = new Map<() => void, string>();

  constructor(
    private readonly settings: Settings,
    private readonly http: HttpClient,
    private readonly keys: KeySet,
    private readonly revocations: Revocations,
    private readonly keySource: KeySource,
    private readonly stopwatch: Stopwatch,
    private readonly emit: (event: VerifierEvent) => void,
  ) {
    this.pace = paceFor(settings.maxStalenessMs);
  }

  start(): void {
    this.running = this.follow();
  }

  /** Ends everything. No token is accepted from here on. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.endPause?.();
    for (const check of this.waiting.keys()) check();
    this.settleStart(new VerifierError('closed', 'the verifier was closed'));
    await this.running;
  }

  /** Whether there was a first sync, and the verifier is open. */
  get isSynced(): boolean {
    return this.askedAt !== undefined && !this.isClosed;
  }

  get cursor(): string | undefined {
    return this.place && formatCursor(this.place);
  }

  /** The latest time at the server that an answer has told, in seconds since the epoch. */
  get serverSeconds(): number {
    return this.serverTime.newest;
  }

  /** How long ago what we know was true, at most, in milliseconds. */
  stalenessMs(): number {
    return this.askedAt ? this.stopwatch.since(this.askedAt) + SERVER_READ_AGE_MS : Infinity;
  }

  /**
   * Until the first sync.
   *
   * @throws VerifierError `invalid_client`, `timeout`, `closed`
   */
  async started(timeoutMs?: number): Promise<void> {
    if (this.isClosed) throw new VerifierError('closed', 'the verifier was closed');
    if (this.isReady) return;
    if (this.lastFailure?.reason === 'invalid_client') throw invalidClient();
    await new Promise<void>((resolve, reject) => {
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              const { reason = 'no answer yet', message = '' } = this.lastFailure ?? {};
              settle(new VerifierError('timeout', `no sync in ${timeoutMs} ms: ${reason} ${message}`.trim()));
            }, timeoutMs);
      const settle = (error?: VerifierError) => {
        clearTimeout(timer);
        this.starting.delete(settle);
        if (error) reject(error);
        else resolve();
      };
      this.starting.add(settle);
    });
  }

  /** Whether all that was revoked up to a place is known. */
  hasReached({ epoch, position }: Cursor): boolean {
    return this.place !== undefined && this.place.epoch === epoch && this.place.position >= position;
  }

  /**
   * Waits until a place is reached; whether it was. The request that waits for news brings it. A pause between two requests
   * is cut short once a second at most, whoever asks for whatever.
   *
   * @param sid the session that it is for: one of them cannot take the places of all others.
   */
  async reach(cursor: Cursor, timeoutMs: number, sid: string): Promise<boolean> {
    if (this.hasReached(cursor)) return true;
    if (!this.mayWait(cursor, sid)) return false;
    this.nudge();
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.waiting.delete(check);
        resolve();
      };
      const check = () => {
        if (this.isClosed || this.hasReached(cursor)) done();
      };
      const timer = setTimeout(done, timeoutMs);
      this.waiting.set(check, sid);
    });
    return this.hasReached(cursor) && !this.isClosed;
  }

  private mayWait({ epoch, position }: Cursor, sid: string): boolean {
    if (epoch === this.place?.epoch && position > this.place.position + MAX_AHEAD) return false;
    if (this.waiting.size >= MAX_WAITING) return false;
    return [...this.waiting.values()].filter((other) => other === sid).length < MAX_WAITING_PER_SESSION;
  }

  private async follow(): Promise<void> {
    while (!this.isClosed) {
      const pauseMs = await this.round().catch((error: unknown) => this.failed(error));
      if (pauseMs > 0 && !this.isClosed) await this.pause(pauseMs);
    }
  }

  /** One request and what comes of it. Returns how long to pause, in milliseconds. */
  private async round(): Promise<number> {
    if (!this.keys.isEmpty) void this.keySource.lookIfOld();
    else if (!(await this.keySource.load())) throw new FeedFailure('keys', 'there is no JWKS');
    const askedAt = this.stopwatch.mark();
    const before = this.cursor;
    const page = await this.read(await this.ask(), before);
    this.checkOrder(page);
    this.apply(page, askedAt);
    const { waitSeconds, pauseMs } = this.pace;
    if (this.cursor !== before) return 0;
    // A server that does not wait when it is asked to must not make us ask without end.
    return waitSeconds > 0 ? Math.max(0, MIN_ROUND_MS - this.stopwatch.since(askedAt)) : pauseMs;
  }

  private async ask(): Promise<string> {
    const { baseUrl, timeoutMs, maxStalenessMs } = this.settings;
    const stalenessMs = this.stalenessMs();
    // When time is short there is none to wait.
    const waitSeconds = stalenessMs > 0.6 * maxStalenessMs ? 0 : this.pace.waitSeconds;
    const leftMs = maxStalenessMs - stalenessMs - waitSeconds * 1000;
    const isFirst = this.cursor === undefined;
    // A connection that is dead is given up while there is time to ask over another one. Then we are patient.
    const isHasty = this.failures === 0 && leftMs > 2 * MIN_ROUND_MS;
    const patienceMs = isFirst ? Math.max(timeoutMs, FIRST_TIMEOUT_MS) : timeoutMs;
    const query = isFirst ? '' : `?since=${this.cursor}&wait=${waitSeconds}`;
    let answer: HttpAnswer;
    try {
      answer = await this.http.send({
        method: 'GET',
        url: `${baseUrl}/oauth/revocations${query}`,
        headers: { authorization: basicCredentials(this.settings), accept: 'application/jwt' },
        timeoutMs: waitSeconds * 1000 + (isHasty ? Math.min(patienceMs, Math.round(leftMs / 2)) : patienceMs),
        bodyTimeoutMs: isHasty ? undefined : BODY_TIMEOUT_MS,
        maxOctets: MAX_OCTETS,
      });
    } catch (error) {
      throw new FeedFailure('unreachable', detailOf(error));
    }
    if (answer.status === 401) throw new FeedFailure('invalid_client', 'status 401', answer.retryAfterSeconds);
    if (answer.status !== 200) throw new FeedFailure('status', `status ${answer.status}`, answer.retryAfterSeconds);
    return answer.body;
  }

  private async read(answer: string, since: string | undefined): Promise<FeedPage> {
    const kid = headerOf(answer)?.['kid'];
    const isUnknown = typeof kid === 'string' && !this.keys.get(kid) && !this.keys.isRevoked(kid);
    if (isUnknown) await this.keySource.lookForFeed();
    return readPage(answer, this.keys, this.settings.issuer, this.nowSeconds(), since);
  }

  /** An answer that was recorded earlier, and played again, must not make us forget or seem fresh. */
  private checkOrder({ cursor, asOf, isFull }: FeedPage): void {
    if (this.serverTime.isOld(asOf)) throw new FeedFailure('refused', 'as_of goes back');
    const isSameEpoch = cursor.epoch === this.place?.epoch;
    if (!isFull && !isSameEpoch) throw new FeedFailure('refused', 'news of another feed');
    if (isSameEpoch && cursor.position < (this.place?.position ?? 0)) {
      this.startOver();
      throw new FeedFailure('refused', 'the cursor goes back');
    }
  }

  /** The feed is not the one that we know the beginning of: its database was set back. What we know of it is worth nothing. */
  private startOver(): void {
    this.place = undefined;
    this.askedAt = undefined;
    this.serverTime.doubt();
  }

  private apply(page: FeedPage, askedAt: Mark): void {
    if (this.isClosed) return;
    const dropped = applyPage(page, this.keys, this.revocations, this.nowSeconds());
    this.place = page.cursor;
    this.askedAt = askedAt;
    this.serverTime.note(page.asOf);
    for (const kid of dropped) this.emit({ name: 'key_revoked', kid });
    if (dropped.length > 0) this.keySource.outdate();

    const cursor = formatCursor(page.cursor);
    if (this.failures > 0 && this.isReady) this.emit({ name: 'feed_recovered', cursor });
    this.failures = 0;
    this.lastFailure = undefined;
    if (!this.isReady && this.stalenessMs() < this.settings.maxStalenessMs) {
      this.isReady = true;
      this.emit({ name: 'ready', cursor });
      this.settleStart();
    }
    for (const check of this.waiting.keys()) check();
  }

  private failed(error: unknown): number {
    if (this.isClosed) return 0;
    const failure = error instanceof FeedFailure ? error : new FeedFailure('refused', detailOf(error));
    const { reason, message: detail, retryAfterSeconds } = failure;
    this.failures += 1;
    const isInvalidClient = reason === 'invalid_client' && (!this.isReady || this.failures > DOUBTED_REFUSALS);
    this.lastFailure = failure;
    const retryInMs = retryDelayMs({ isInvalidClient, retryAfterSeconds, failures: this.failures });
    this.emit({ name: 'feed_failed', reason, detail, retryInMs });
    if (isInvalidClient) this.settleStart(invalidClient());
    return retryInMs;
  }

  private settleStart(error?: VerifierError): void {
    for (const settle of this.starting) settle(error);
  }

  private pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.endPause = undefined;
        resolve();
      };
      const timer = setTimeout(end, durationMs).unref();
      this.endPause = end;
    });
  }

  private nudge(): void {
    const mayBeSooner = !this.lastFailure || this.lastFailure.reason === 'unreachable';
    if (!mayBeSooner || !this.endPause || performance.now() - this.nudgedAt < MIN_NUDGE_MS) return;
    this.nudgedAt = performance.now();
    this.endPause();
  }

  private nowSeconds(): number {
    return Math.floor(this.settings.clock() / 1000);
  }
}

function invalidClient(): VerifierError {
  return new VerifierError('invalid_client', 'Gatehouse does not accept clientId and clientSecret');
}
