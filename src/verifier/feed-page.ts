import { compactVerify } from 'jose';
import { headerOf, parseObject } from './compact-jws.js';
import { FeedFailure } from './events.js';
import type { KeySet } from './key-set.js';
import type { FeedEntry, Revocations } from './revocations.js';

/** Two clocks that are set by the same people differ by less. */
const MAX_CLOCK_DIFFERENCE_SECONDS = 60;

/** A place in the feed. Two are comparable when their epochs are equal; the greater position is later. */
export interface Cursor {
  epoch: string;
  position: number;
}

/** An answer of the feed that is Gatehouse's. Times are seconds since the epoch. */
export interface FeedPage {
  cursor: Cursor;
  asOf: number;
  isFull: boolean;
  entries: FeedEntry[];
}

/** `<epoch>.<position>`; undefined for anything else. */
export function parseCursor(text: unknown): Cursor | undefined {
  const [, epoch, position] = (typeof text === 'string' && /^([\w-]{8})\.(0|[1-9]\d{0,14})$/.exec(text)) || [];
  return epoch === undefined ? undefined : { epoch, position: Number(position) };
}

export function formatCursor({ epoch, position }: Cursor): string {
  return `${epoch}.${position}`;
}

/**
 * What an answer of the feed says.
 *
 * @param since what it was asked with, which what came after it has in its header.
 * @throws FeedFailure `refused` when it is not signed with a key of `keys`, not a feed, not of this issuer, of another time
 * than now, not to this question, or has something in it that we do not know: what we would pass over might be a revocation.
 */
export async function readPage(
  answer: string,
  keys: KeySet,
  issuer: string,
  nowSeconds: number,
  since: string | undefined,
): Promise<FeedPage> {
  const header = headerOf(answer);
  if (!header) throw refused('not a compact JWS');
  const { alg, typ, kid, since: answered, ...others } = header;
  if (alg !== 'ES256') throw refused('algorithm');
  if (typ !== 'revocations+jwt') throw refused('type');
  if (typeof kid !== 'string' || Object.keys(others).length > 0) throw refused('header');
  const key = keys.get(kid);
  if (!key) throw refused(keys.isRevoked(kid) ? 'signed with a revoked key' : 'signed with an unknown key');
  const verified = await compactVerify(answer, key.publicKey, { algorithms: ['ES256'] }).catch(() => {
    throw refused('signature');
  });
  const payload = parseObject(verified.payload);
  if (payload?.['issuer'] !== issuer) throw refused('issuer');
  const { as_of: asOf, full: isFull, entries } = payload;
  const cursor = parseCursor(payload['cursor']);
  if (!cursor || !Number.isSafeInteger(asOf) || typeof isFull !== 'boolean' || !Array.isArray(entries)) {
    throw refused('malformed');
  }
  const page = { cursor, asOf: asOf as number, isFull, entries: entries.map(readEntry) };
  const isNow = Math.abs(page.asOf - nowSeconds) <= MAX_CLOCK_DIFFERENCE_SECONDS;
  if (!isNow) throw refused('as_of is not now');
  if (answered !== (isFull ? undefined : since)) throw refused('not what was asked');
  return page;
}

/** Adds what a page says to what is known. Returns the keys that are compromised since. */
export function applyPage(page: FeedPage, keys: KeySet, revocations: Revocations, nowSeconds: number): string[] {
  if (page.isFull) {
    revocations.clear();
    keys.keepRevoked(new Set(page.entries.flatMap(({ kind, value }) => (kind === 'kid' ? value : []))));
  }
  const dropped: string[] = [];
  for (const entry of page.entries) {
    revocations.add(entry);
    if (entry.kind === 'kid' && keys.revoke(entry.value, entry.expiresAt)) dropped.push(entry.value);
  }
  revocations.sweep(nowSeconds);
  return dropped;
}

/** @throws FeedFailure `refused` */
export function readEntry(entry: unknown): FeedEntry {
  const { kind, value, expires_at: expiresAt, not_before } = Object(entry) as Record<string, unknown>;
  // Without a time it is everything of that user: rather too much than too little.
  const notBefore = not_before ?? Number.MAX_SAFE_INTEGER;
  const isKind = kind === 'sid' || kind === 'sub' || kind === 'kid';
  if (!isKind || typeof value !== 'string' || !Number.isSafeInteger(expiresAt) || !Number.isSafeInteger(notBefore)) {
    throw refused('an entry is malformed');
  }
  return { kind, value, expiresAt: expiresAt as number, notBefore: notBefore as number };
}

function refused(detail: string): FeedFailure {
  return new FeedFailure('refused', detail);
}
