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

/** Answers the services that follow the feed. */
@Injectable()
export class FeedService {
  /** What was signed last for each cursor: a thousand services that have heard the same hear the same. */
  private signed = new Map<Cursor | undefined, Promise<string>>();
  private signedFor = '';

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
    const page = await this.feed.read(since);
    this.lag.note(client, page.cursor);
    return this.sign(since, page);
  }

  private sign(since: Cursor | undefined, page: FeedPage): Promise<string> {
    const state = `${page.cursor} ${page.asOf.getTime()}`;
    if (state !== this.signedFor) this.signed = new Map();
    this.signedFor = state;
    const key = page.isFull ? undefined : since;
    const known = this.signed.get(key) ?? this.signNow(page);
    this.signed.set(key, known);
    return known;
  }

  private async signNow({ cursor, asOf, isFull, entries }: FeedPage): Promise<string> {
    const { kid, privateKey } = await this.keys.signingKey();
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
      header: { alg: ALGORITHM, typ: TYPE, kid },
      noTimestamp: true,
    });
  }
}

/** Times go to the next full second: an entry is kept a little too long rather than too short. */
function entryView({ kind, value, notBefore, expiresAt }: FeedEntry): Record<string, unknown> {
  const seconds = (at: Date) => Math.ceil(at.getTime() / 1000);
  return { kind, value, ...(notBefore && { not_before: seconds(notBefore) }), expires_at: seconds(expiresAt) };
}
