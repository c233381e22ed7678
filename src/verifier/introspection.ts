import { detailOf, type VerifierEvent } from './events.js';
import { parseObject } from './compact-jws.js';
import { basicCredentials, type HttpClient } from './http-client.js';
import type { Settings } from './options.js';
import type { AccessTokenClaims } from './result.js';

/** More at the same time than this, and Gatehouse has no time left for them. */
const MAX_CONCURRENT = 100;
const MAX_OCTETS = 100_000;
const SAME = ['iss', 'aud', 'sub', 'client_id', 'jti', 'sid', 'iat', 'exp'];

/** Asks Gatehouse about one token (RFC 7662). */
export class Introspection {
  private running = 0;

  constructor(
    private readonly settings: Settings,
    private readonly http: HttpClient,
    private readonly emit: (event: VerifierEvent) => void,
  ) {}

  /** Whether a token is active, with the claims that we have read in it; undefined when nobody can tell. */
  async isActive(token: string, claims: AccessTokenClaims): Promise<boolean | undefined> {
    if (this.running >= MAX_CONCURRENT) return undefined;
    this.running += 1;
    try {
      const { baseUrl, timeoutMs } = this.settings;
      const { status, body } = await this.http.send({
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
      if (status !== 200) throw new Error(`status ${status}`);
      const answer = parseObject(Buffer.from(body));
      if (typeof answer?.['active'] !== 'boolean') throw new Error('not an answer of RFC 7662');
      if (!answer['active']) return false;
      // A refresh token is active too, and opens nothing.
      return answer['token_type'] === 'Bearer' && SAME.every((name) => answer[name] === claims[name]);
    } catch (error) {
      this.emit({ name: 'introspection_failed', detail: detailOf(error) });
      return undefined;
    } finally {
      this.running -= 1;
    }
  }
}
