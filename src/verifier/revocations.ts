import type { AccessTokenClaims } from './result.js';

/** An entry stays this many seconds longer than it says: the clocks that gave the token its `exp` may be behind ours. */
const SLACK_SECONDS = 5;
/** It is forgotten only this much later: our clock may be a minute ahead of Gatehouse's, and be set right then. */
const KEPT_SECONDS = 65;
const SWEEP_INTERVAL_SECONDS = 60;

/** One revocation of the feed. Times are seconds since the epoch. */
export interface FeedEntry {
  kind: 'sid' | 'sub' | 'kid';
  value: string;
  expiresAt: number;
  /** For a `sub`: tokens issued before this are revoked. */
  notBefore: number;
}

/** The sessions and users that are revoked. Hardly larger than what is live: an entry goes some time after it has expired. */
export class Revocations {
  private sessions = new Map<string, number>();
  private users = new Map<string, { notBefore: number; expiresAt: number }>();
  private sweptAt = 0;

  add({ kind, value, expiresAt, notBefore }: FeedEntry): void {
    if (kind === 'sid') this.sessions.set(value, Math.max(expiresAt, this.sessions.get(value) ?? 0));
    if (kind !== 'sub') return;
    const known = this.users.get(value);
    this.users.set(value, {
      notBefore: Math.max(notBefore, known?.notBefore ?? 0),
      expiresAt: Math.max(expiresAt, known?.expiresAt ?? 0),
    });
  }

  clear(): void {
    this.sessions = new Map();
    this.users = new Map();
  }

  /** Whether a token with these claims is revoked. */
  has({ sid, sub, iat }: AccessTokenClaims, nowSeconds: number): boolean {
    if (isLive(this.sessions.get(sid), nowSeconds)) return true;
    const user = this.users.get(sub);
    return user !== undefined && iat < user.notBefore && isLive(user.expiresAt, nowSeconds);
  }

  /** Forgets what has expired, now and then. */
  sweep(nowSeconds: number): void {
    if (Math.abs(nowSeconds - this.sweptAt) < SWEEP_INTERVAL_SECONDS) return;
    this.sweptAt = nowSeconds;
    const isForgotten = (expiresAt: number) => expiresAt + KEPT_SECONDS <= nowSeconds;
    for (const [sid, expiresAt] of this.sessions) if (isForgotten(expiresAt)) this.sessions.delete(sid);
    for (const [sub, { expiresAt }] of this.users) if (isForgotten(expiresAt)) this.users.delete(sub);
  }

  /** How many entries are held. */
  get size(): number {
    return this.sessions.size + this.users.size;
  }
}

function isLive(expiresAt: number | undefined, nowSeconds: number): boolean {
  return expiresAt !== undefined && nowSeconds < expiresAt + SLACK_SECONDS;
}
