import { detailOf, type VerifierEvent } from './events.js';
import { parseObject } from './compact-jws.js';
import { basicCredentials, type HttpClient } from './http-client.js';
import type { Settings } from './options.js';
import type { AccessTokenClaims } from './result.js';

/** More at the same time than this, and Gatehouse has no time left for them. */
const MAX_CONCURRENT = 100;
const MAX_OCTETS = 100_000;
/** After a failure nobody is asked for so long, or for as long as `Retry-After` says. */
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 60_000;
/** Every request may fail: it is told so often. */
const EVENT_INTERVAL_MS = 1_000;
const SAME = ['iss', 'aud', 'sub', 'client_id', 'jti', 'sid', 'iat', 'exp'];

/** Asks Gatehouse about one token (RFC 7662). */
export class Introspection {
  private running = 0;
  /** By the monotonic clock, in milliseconds. */
  private pausedUntil = -Infinity;
  private toldAt = -Infinity;

  constructor(
    private readonly settings: Settings,
    private readonly http: HttpClient,
    private readonly emit: (event: VerifierEvent) => void,
  ) {}

  /** Whether a token is active, with the claims that we have read in it; undefined when nobody can tell. */
  async isActive(token: string, claims: AccessTokenClaims): Promise<boolean | undefined> {
    if (performance.now() < this.pausedUntil) return undefined;
    if (this.running >= MAX_CONCURRENT) {
      this.tell(`more than ${MAX_CONCURRENT} at the same time`);
      return undefined;
    }
    this.running += 1;
    let pauseMs = MIN_PAUSE_MS;
    try {
      const { baseUrl, timeoutMs } = this.settings;
      const { status, body, retryAfterSeconds } = await this.http.send({
        method: 'POST',
        url: `${baseUrl}/oauth/introspect`,
        headers: {
          authorization: basicCredentials(this.settings),
          accept: 'application/json',
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
        timeoutMs,
        maxOctets: MAX_OCTETS,
      });
      if (status !== 200) {
        pauseMs = Math.min(Math.max(MIN_PAUSE_MS, retryAfterSeconds * 1000), MAX_PAUSE_MS);
        throw new Error(`status ${status}`);
      }
      const answer = parseObject(Buffer.from(body));
      if (typeof answer?.['active'] !== 'boolean') throw new Error('not an answer of RFC 7662');
      if (!answer['active']) return false;
      // A refresh token is active too, and opens nothing.
      return answer['token_type'] === 'Bearer' && SAME.every((name) => answer[name] === claims[name]);
    } catch (error) {
      this.pausedUntil = Math.max(this.pausedUntil, performance.now() + pauseMs);
      this.tell(detailOf(error));
      return undefined;
    } finally {
      this.running -= 1;
    }
  }

  private tell(detail: string): void {
    if (performance.now() - this.toldAt < EVENT_INTERVAL_MS) return;
    this.toldAt = performance.now();
    this.emit({ name: 'introspection_failed', detail });
  }
}
