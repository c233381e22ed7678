import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { epochSeconds } from '../common/clock.js';
import { Config } from '../config/config.js';
import { ALGORITHM } from '../tokens/key-vault.js';
import { RevocationFeed, type Cursor, type FeedPage } from '../tokens/revocation-feed.js';
import type { FeedEntry } from '../tokens/revocation-feed.repository.js';
import { SigningKeys } from '../tokens/signing-keys.js';
import type { ServiceClient } from './service-client.entity.js';
import { VerifierLag } from './verifier-lag.js';

const TYPE = 'revocations+jwt';
const KEY_MAX_AGE_MS = 1_000;

/** Answers the services that follow the feed. */
@Injectable()
export class FeedService {
  /** What was signed last for each cursor: a thousand services that have heard the same hear the same. */
  private signed = new Map<Cursor | undefined, Promise<string>>();
  private signedFor = '';
  private key: { of: Cursor; readAt: number; pair: ReturnType<SigningKeys['signingKey']> } | undefined;

  constructor(
    private readonly config: Config,
    private readonly jwt: JwtService,
    private readonly keys: SigningKeys,
    private readonly feed: RevocationFeed,
    private readonly lag: VerifierLag,
  ) {}

  /**
   * What came after a cursor, as a compact JWS; waits for it up to `waitSeconds`.
   *
   * @throws Unavailable
   */
  async next(
    client: ServiceClient,
    since: Cursor | undefined,
    waitSeconds: number,
    gone: AbortSignal,
  ): Promise<string> {
    this.lag.note(client, since);
    await this.feed.waitFor(since, waitSeconds * 1000, gone);
    this.lag.note(client, since); // it has no more yet: what it is told now, it shows by asking from there
    const page = await this.feed.read(since);
    return this.sign(since, page);
  }

  private sign(since: Cursor | undefined, page: FeedPage): Promise<string> {
    const state = `${page.cursor} ${page.asOf.getTime()}`;
    if (state !== this.signedFor) this.signed = new Map();
    this.signedFor = state;
    const key = page.isFull ? undefined : since;
    const known = this.signed.get(key) ?? this.signNow(key, page);
    this.signed.set(key, known);
    return known;
  }

  /**
   * The key to sign with, read once a second at most and after all news. That a key was revoked is news: it does not sign what
   * comes after that.
   */
  private signingKey(cursor: Cursor): ReturnType<SigningKeys['signingKey']> {
    const now = performance.now();
    if (this.key?.of !== cursor || now - this.key.readAt > KEY_MAX_AGE_MS) {
      this.key = { of: cursor, readAt: now, pair: this.keys.signingKey() };
      this.key.pair.catch(() => (this.key = undefined));
    }
    return this.key.pair;
  }

  /** @param since the cursor that a page is the continuation of: in the header, so that nobody takes it for that of another. */
  private async signNow(since: Cursor | undefined, { cursor, asOf, isFull, entries }: FeedPage): Promise<string> {
    const { kid, privateKey } = await this.signingKey(cursor);
    const payload = {
      issuer: this.config.issuer,
      cursor,
      as_of: epochSeconds(asOf),
      full: isFull,
      entries: entries.map(entryView),
    };
    return this.jwt.sign(payload, {
      privateKey: privateKey as never,
      algorithm: ALGORITHM,
      header: { alg: ALGORITHM, typ: TYPE, kid, ...(since !== undefined && { since }) },
      noTimestamp: true,
    });
  }
}

/** Times go to the next full second: an entry is kept a little too long rather than too short. */
function entryView({ kind, value, notBefore, expiresAt }: FeedEntry): Record<string, unknown> {
  const seconds = (at: Date) => Math.ceil(at.getTime() / 1000);
  return { kind, value, ...(notBefore && { not_before: seconds(notBefore) }), expires_at: seconds(expiresAt) };
}
