import { detailOf, type VerifierEvent } from './events.js';
import type { HttpClient } from './http-client.js';
import type { KeySet } from './key-set.js';
import type { Settings } from './options.js';
import type { Mark, Stopwatch } from './stopwatch.js';

/** A JWKS may be kept so long: what Gatehouse says in its `Cache-Control`. */
const MAX_AGE_MS = 300_000;
/** After a failure. The keys that are known stay meanwhile: the feed says which of them must not. */
const RETRY_MS = 30_000;
/** An unknown `kid` in a token makes us look again at most this often: forged ones are free, requests are not. */
const TOKEN_COOLDOWN_MS = 30_000;
/** The feed may make us look again this often: it is Gatehouse who speaks there, or somebody on the way. */
const FEED_COOLDOWN_MS = 1_000;
const MAX_OCTETS = 1_000_000;

/** Fetches the JWKS. One request at a time, whoever asks. */
export class KeySource {
  private running: Promise<boolean> | undefined;
  private triedAt: Mark | undefined;
  private hasFailed = false;
  private isOutdated = false;

  constructor(
    private readonly settings: Settings,
    private readonly http: HttpClient,
    private readonly keys: KeySet,
    private readonly stopwatch: Stopwatch,
    private readonly emit: (event: VerifierEvent) => void,
  ) {}

  /** Looks, for want of any key. */
  load(): Promise<boolean> {
    return this.lookUnlessTried(0);
  }

  /** Looks for a key that a token names. Whether it has looked. */
  lookForToken(): Promise<boolean> {
    return this.lookUnlessTried(TOKEN_COOLDOWN_MS);
  }

  /** Looks for a key that the feed has used. */
  lookForFeed(): Promise<boolean> {
    return this.lookUnlessTried(FEED_COOLDOWN_MS);
  }

  /** Looks when what we have is old: a key that was retired goes then. */
  lookIfOld(): Promise<boolean> {
    if (this.isOutdated) return this.lookForFeed();
    return this.lookUnlessTried(this.hasFailed ? RETRY_MS : MAX_AGE_MS);
  }

  /** A key was revoked: what we have is old, whatever its age. */
  outdate(): void {
    this.isOutdated = true;
  }

  private lookUnlessTried(cooldownMs: number): Promise<boolean> {
    if (this.running) return this.running;
    const isRecent = this.triedAt !== undefined && this.stopwatch.since(this.triedAt) < cooldownMs;
    if (isRecent) return Promise.resolve(false);
    this.triedAt = this.stopwatch.mark();
    this.isOutdated = false;
    this.running = this.fetch().then((isDone) => {
      this.running = undefined;
      this.hasFailed = !isDone;
      return isDone;
    });
    return this.running;
  }

  private async fetch(): Promise<boolean> {
    const { baseUrl, timeoutMs, clock } = this.settings;
    const url = `${baseUrl}/.well-known/jwks.json`;
    try {
      const request = {
        method: 'GET',
        url,
        headers: { accept: 'application/jwk-set+json, application/json' },
      } as const;
      const { status, body } = await this.http.send({ ...request, timeoutMs, maxOctets: MAX_OCTETS });
      if (status !== 200) throw new Error(`status ${status}`);
      this.keys.replace(JSON.parse(body), Math.floor(clock() / 1000));
      return true;
    } catch (error) {
      this.emit({ name: 'keys_failed', detail: error instanceof SyntaxError ? 'not JSON' : detailOf(error) });
      return false;
    }
  }
}
