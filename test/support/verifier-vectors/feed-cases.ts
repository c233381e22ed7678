import { HEADER, ISSUED, ISSUER, NOW, ONE, SESSION, STRANGER, token, TOKEN_ID, TWO, USER, type Case } from './cases.js';
import { signed, type VectorKey } from './signing.js';

const EPOCH = 'Zx-_09aB';
const OTHER_EPOCH = 'AAAAAAAA';
const FEED_HEADER = { ...HEADER, typ: 'revocations+jwt' };

const entry = (kind: string, value: string, more: object = {}) => ({ kind, value, expires_at: ISSUED + 900, ...more });
const ENTRIES = [entry('sid', SESSION), entry('sub', USER, { not_before: ISSUED }), entry('kid', TWO.kid)];
const FULL = { issuer: ISSUER, cursor: `${EPOCH}.7`, as_of: ISSUED, full: true, entries: ENTRIES };
const NEWS = { ...FULL, full: false, entries: [] };
const SINCE = `${EPOCH}.3`;

const answer = (payload: object, header: object = {}, key: VectorKey = ONE) =>
  signed({ ...FEED_HEADER, ...header }, payload, key);

function believed(name: string, payload: object, more: Case = {}, header: object = {}): Case {
  return { name, answer: answer(payload, header), clock: ISSUED, ...more, accept: true, payload };
}

function refused(name: string, reason: string, text: string, more: Case = {}): Case {
  return { name, answer: text, clock: ISSUED, ...more, accept: false, reason };
}

/** Whether one answer may be believed at all. */
export const feedCases: Case[] = [
  believed('everything', FULL),
  believed('news', NEWS, { since: SINCE }, { since: SINCE }),
  believed('everything, though it was asked for news', FULL, { since: SINCE }),
  believed('a member that nobody knows', { ...FULL, since: SINCE }),
  believed('as_of 60 s ago', FULL, { clock: ISSUED + 60 }),
  refused('as_of 61 s ago', 'time', answer(FULL), { clock: ISSUED + 61 }),
  believed('as_of 60 s ahead', FULL, { clock: ISSUED - 60 }),
  refused('as_of 61 s ahead', 'time', answer(FULL), { clock: ISSUED - 61 }),
  refused('padded', 'malformed', `${answer(FULL)}==`),
  refused('two parts', 'malformed', answer(FULL).split('.').slice(0, 2).join('.')),
  refused('alg none', 'algorithm', answer(FULL, { alg: 'none' })),
  refused('an access token', 'type', token()),
  refused('typ JWT', 'type', answer(FULL, { typ: 'JWT' })),
  refused('no typ', 'type', answer(FULL, { typ: undefined })),
  refused('another member in the header', 'header', answer(FULL, { jwk: ONE.jwk })),
  refused('no kid', 'header', answer(FULL, { kid: undefined })),
  refused('a key that the feed has called compromised before', 'revoked_key', answer(FULL), {
    entries: [entry('kid', ONE.kid)],
  }),
  refused('a key that is not in the JWKS', 'unknown_key', answer(FULL, { kid: STRANGER.kid }, STRANGER)),
  refused('a stranger under a name of the JWKS', 'signature', answer(FULL, {}, STRANGER)),
  refused('another issuer', 'issuer', answer({ ...FULL, issuer: `${ISSUER}/` })),
  refused('no cursor', 'content', answer({ ...FULL, cursor: undefined })),
  refused('a cursor with a short epoch', 'content', answer({ ...FULL, cursor: 'Zx-_09a.7' })),
  refused('a cursor with a leading zero', 'content', answer({ ...FULL, cursor: `${EPOCH}.07` })),
  refused('as_of is a string', 'content', answer({ ...FULL, as_of: String(ISSUED) })),
  refused('no full', 'content', answer({ ...FULL, full: undefined })),
  refused('no entries', 'content', answer({ ...FULL, entries: undefined })),
  ...Object.entries({
    'an entry of a kind that nobody knows: it may be a revocation': entry('jti', TOKEN_ID),
    'an entry without a value': entry('sid', SESSION, { value: undefined }),
    'an entry without expires_at': entry('sid', SESSION, { expires_at: undefined }),
    'an entry whose not_before is a string': entry('sub', USER, { not_before: 'now' }),
  }).map(([name, wrong]) => refused(name, 'content', answer({ ...FULL, entries: [wrong] }))),
  refused('news that does not say what it comes after', 'since', answer(NEWS), { since: SINCE }),
  refused('news after another cursor', 'since', answer(NEWS, { since: `${EPOCH}.4` }), { since: SINCE }),
  refused('news after a cursor, and nobody asked for it', 'since', answer(NEWS, { since: SINCE })),
  refused('everything, with a cursor that it comes after', 'since', answer(FULL, { since: SINCE }), { since: SINCE }),
];

/** One answer of a sequence. */
interface Heard {
  /** What it was asked with. */
  since?: string;
  cursor?: string;
  asOf?: number;
  full?: boolean;
  entries?: object[];
  /** Of the answer's header. */
  header?: object;
}

const SEVEN = `${EPOCH}.7`;
const EIGHT = `${EPOCH}.8`;
const T = NOW;

function hear(clock: number, heard: Heard = {}, reason?: string): Case {
  const { since, cursor = SEVEN, asOf = clock, full = since === undefined, entries = [] } = heard;
  const header = heard.header ?? (full ? {} : { since });
  const text = answer({ issuer: ISSUER, cursor, as_of: asOf, full, entries }, header);
  return { clock, ...(since !== undefined && { since }), answer: text, ...outcome(reason) };
}

function check(clock: number, reason?: string, minCursor?: string): Case {
  return { clock, token: token(), ...(minCursor !== undefined && { min_cursor: minCursor }), ...outcome(reason) };
}

function outcome(reason: string | undefined): Case {
  return reason === undefined ? { accept: true } : { accept: false, reason };
}

/** A request is sent at the time of the answer before it: a verifier asks again at once. */
function sequence(name: string, steps: Case[], maxStalenessMs = 5_000): Case {
  let askedAt: unknown;
  const timed = steps.map((step) => {
    if (!('answer' in step)) return step;
    const { clock, ...more } = step;
    const asked = { asked_at: askedAt ?? clock, clock, ...more };
    askedAt = clock;
    return asked;
  });
  return { name, max_staleness_ms: maxStalenessMs, steps: timed };
}

const session = entry('sid', SESSION);
const another = entry('sid', TOKEN_ID);

/** What a verifier has heard, one after the other, and what it says to a token then. */
export const sequenceCases: Case[] = [
  sequence('before the first answer nothing is accepted', [check(T, 'not_ready'), hear(T), check(T)]),
  sequence('news is no beginning', [hear(T, { full: false, header: {} }, 'epoch'), check(T, 'not_ready')]),
  sequence('what is known is a second older than the request', [hear(T), check(T + 3), check(T + 4, 'stale')]),
  sequence('with another limit', [hear(T), check(T + 58), check(T + 59, 'stale')], 60_000),
  sequence('it counts from before the request, however long the answer was on its way', [
    hear(T),
    hear(T + 3, { since: SEVEN }),
    check(T + 3),
    check(T + 4, 'stale'),
  ]),
  sequence('staleness ends with an answer that is new enough', [
    hear(T),
    check(T + 9, 'stale'),
    hear(T + 9, { since: SEVEN, cursor: EIGHT }),
    check(T + 9, 'stale'),
    hear(T + 10, { since: EIGHT, cursor: EIGHT }),
    check(T + 10),
  ]),
  sequence('an expired token is expired, also when nobody can tell more', [hear(T), check(ISSUED + 300, 'expired')]),

  sequence('news is added', [
    hear(T, { entries: [another] }),
    check(T),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, entries: [session] }),
    check(T + 1, 'revoked'),
    hear(T + 2, { since: EIGHT, cursor: EIGHT }),
    check(T + 2, 'revoked'),
  ]),
  sequence('everything replaces what was known', [
    hear(T, { entries: [session] }),
    check(T, 'revoked'),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, full: true, entries: [another] }),
    check(T + 1),
  ]),
  sequence('everything of another epoch replaces it too, at whatever position', [
    hear(T, { entries: [session] }),
    hear(T + 1, { since: SEVEN, cursor: `${OTHER_EPOCH}.1`, full: true }),
    check(T + 1),
  ]),
  sequence('news of another epoch is refused', [
    hear(T, { entries: [session] }),
    hear(T + 1, { since: SEVEN, cursor: `${OTHER_EPOCH}.8`, full: false }, 'epoch'),
    check(T + 1, 'revoked'),
  ]),
  sequence('a key is dropped, and with it its tokens and its answers', [
    hear(T),
    check(T),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, entries: [entry('kid', ONE.kid)] }),
    check(T + 1, 'revoked_key'),
    hear(T + 2, { since: EIGHT, cursor: EIGHT }, 'revoked_key'),
  ]),

  sequence('a feed that goes back is forgotten as a whole: everything is asked for, and nothing accepted until then', [
    hear(T, { entries: [session] }),
    hear(T + 1, { since: SEVEN, cursor: `${EPOCH}.5`, full: true }, 'cursor'),
    check(T + 1, 'not_ready'),
    hear(T + 2, { cursor: `${EPOCH}.5` }),
    check(T + 2),
  ]),
  sequence('then no answer counts that may have been recorded before', [
    hear(T, { entries: [session] }),
    hear(T + 1, { since: SEVEN, cursor: `${EPOCH}.5`, asOf: T, full: true }, 'cursor'),
    hear(T + 2, { cursor: `${EPOCH}.5`, asOf: T }, 'as_of'),
    check(T + 2, 'not_ready'),
    hear(T + 2, { cursor: EIGHT, entries: [session] }),
    check(T + 2, 'revoked'),
  ]),
  sequence('as_of may be 5 s older than the newest', [
    hear(T),
    hear(T, { since: SEVEN, cursor: EIGHT, asOf: T - 5, entries: [session] }),
    check(T, 'revoked'),
  ]),
  sequence('and not 6 s', [
    hear(T, { entries: [session] }),
    hear(T, { since: SEVEN, cursor: EIGHT, asOf: T - 6, full: true }, 'as_of'),
    check(T, 'revoked'),
  ]),
  sequence('time goes on at the server too: the same as_of 6 s later is as old', [
    hear(T),
    hear(T + 6, { since: SEVEN, asOf: T }, 'as_of'),
    check(T + 6, 'stale'),
  ]),
  sequence('a server whose clock was set back is believed after more than 10 s, when it is later than ever before', [
    hear(T),
    hear(T + 10, { since: SEVEN, asOf: T + 3 }, 'as_of'),
    hear(T + 11, { since: SEVEN, asOf: T }, 'as_of'),
    hear(T + 11, { since: SEVEN, asOf: T + 4 }),
    check(T + 11),
  ]),
  sequence('a token that has expired at the server is expired: its revocation may not be told any more', [
    hear(ISSUED + 240, { entries: [entry('sid', SESSION, { expires_at: ISSUED + 300 })] }),
    check(ISSUED + 240, 'revoked'),
    hear(ISSUED + 241, { since: SEVEN, asOf: ISSUED + 300, full: true }),
    check(ISSUED + 241, 'expired'),
    hear(ISSUED + 242, { since: SEVEN, asOf: ISSUED + 299 }),
    check(ISSUED + 242, 'expired'),
  ]),
  sequence('and a second before it is not', [
    hear(ISSUED + 240),
    hear(ISSUED + 241, { since: SEVEN, asOf: ISSUED + 299, full: true }),
    check(ISSUED + 241),
  ]),

  sequence('news that does not say what it comes after is refused', [
    hear(T),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, entries: [session], header: {} }, 'since'),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, entries: [session], header: { since: `${EPOCH}.6` } }, 'since'),
    check(T + 1),
    hear(T + 2, { since: SEVEN, cursor: EIGHT, entries: [session] }),
    check(T + 2, 'revoked'),
  ]),
  sequence('a token with a cursor is judged by what is known up to there', [
    hear(T),
    check(T, undefined, `${EPOCH}.0`),
    check(T, undefined, SEVEN),
    check(T, 'behind', EIGHT),
    check(T, 'behind', `${OTHER_EPOCH}.1`),
    check(T, 'malformed_cursor', 'x'),
    check(T, 'malformed_cursor', `${EPOCH}.07`),
    hear(T + 1, { since: SEVEN, cursor: EIGHT, entries: [session] }),
    check(T + 1, 'revoked', EIGHT),
  ]),
];
