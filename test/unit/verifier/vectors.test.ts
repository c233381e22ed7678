import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { applyPage, readEntry, readPage } from '../../../src/verifier/feed-page.js';
import { KeySet } from '../../../src/verifier/key-set.js';
import type { InvalidTokenReason } from '../../../src/verifier/result.js';
import { Revocations } from '../../../src/verifier/revocations.js';
import { createVerifier, type Verifier, type VerifierEvent } from '../../../src/verifier/verifier.js';
import { sign, stubKey } from '../../support/feed-stub.js';
import { problemsBySchema } from '../../support/json-schema.js';
import { der } from '../../support/verifier-vectors/signing.js';

const FOLDER = 'src/verifier/vectors';
const FILES = ['tokens', 'claims', 'revocations', 'feed', 'sequences'];
const OF_TOKENS = ['tokens', 'claims', 'revocations'];

/** What is looked at after the signature. */
const AFTER_SIGNATURE = ['claims', 'issuer', 'audience', 'lifetime', 'expired', 'not_yet_valid', 'revoked'];
/** Where jose asks for less than we do: in the form, in members of the header, and it has not heard of a revoked key. */
const JOSE_ACCEPTS = [
  '4097 octets',
  'an empty payload',
  'a padded signature',
  'unused bits set at the end of the signature',
  'unused bits set at the end of the payload, and signed so',
  'a space behind',
  'a line feed behind',
  'an embedded key beside a good signature',
  'jku',
  'x5u',
  'x5c',
  'b64',
  'cty',
  'its key',
  'its key, long expired: dropped for as long as the JWKS lists it',
];

/** The reasons of the feed as the verifier says them in its events. */
const DETAILS: Record<string, RegExp> = {
  malformed: /^not a compact JWS$/,
  algorithm: /^algorithm$/,
  type: /^type$/,
  header: /^header$/,
  revoked_key: /^signed with a revoked key$/,
  unknown_key: /^signed with an unknown key$/,
  signature: /^signature$/,
  issuer: /^issuer$/,
  content: /malformed$/,
  time: /^as_of is not now$/,
  since: /^not what was asked$/,
  as_of: /^as_of goes back$/,
  epoch: /^news of another feed$/,
  cursor: /^the cursor goes back$/,
};

interface Case {
  name: string;
  token: string;
  answer: string;
  clock: number;
  since?: string;
  jwks?: { keys: JWK[] };
  entries?: object[];
  accept: boolean;
  claims?: Record<string, unknown>;
  payload?: Record<string, any>;
  reason?: string;
}

type Step = { clock: number; accept: boolean; reason?: string } & (
  { asked_at: number; since?: string; answer: string } | { asked_at?: never; token: string; min_cursor?: string }
);

interface Sequence {
  name: string;
  max_staleness_ms: number;
  steps: Step[];
}

interface VectorFile<C = Case> {
  issuer: string;
  audience: string;
  jwks: { keys: JWK[] };
  vectors: C[];
}

const read = (name: string): unknown => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));
const load = <C = Case>(name: string) => read(name) as VectorFile<C>;

/** One request for the feed. */
interface Question {
  since: string | undefined;
  answer(text: string): void;
}

/** Gatehouse as a `fetch`. What the feed answers, and when, is for the test to say. */
class ScriptedGatehouse {
  private questions: Question[] = [];
  private isAsked = () => {};

  constructor(private readonly jwks: { keys: unknown[] }) {}

  readonly fetch: typeof fetch = (url, init) => {
    const { pathname, searchParams } = new URL(url);
    if (pathname === '/.well-known/jwks.json') return Promise.resolve(new Response(JSON.stringify(this.jwks)));
    return new Promise((resolve, reject) => {
      init?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
      this.questions.push({
        since: searchParams.get('since') ?? undefined,
        answer: (text) => resolve(new Response(text)),
      });
      this.isAsked();
    });
  };

  /** The next request for the feed. */
  async question(): Promise<Question> {
    if (this.questions.length === 0) await new Promise<void>((resolve) => (this.isAsked = resolve));
    return this.questions.shift() as Question;
  }
}

let clock: number;
let verifiers: Verifier[];
let events: VerifierEvent[];
beforeEach(() => {
  verifiers = [];
  events = [];
});
afterEach(() => Promise.all(verifiers.map((verifier) => verifier.close())));

function start(
  { issuer, audience }: { issuer: string; audience: string },
  gatehouse: ScriptedGatehouse,
  maxStalenessMs = 5_000,
): Verifier {
  const verifier = createVerifier({
    ...{ issuer, audience, maxStalenessMs, catchUpMs: 0, clientId: 'svc', clientSecret: 'secret' },
    fetch: gatehouse.fetch,
    clock: () => clock * 1000,
    onEvent: (event) => events.push(event),
  });
  verifiers.push(verifier);
  return verifier;
}

describe.each(OF_TOKENS)('%s.json', (name) => {
  const file = load(name);
  const feedKey = stubKey('of-the-feed');

  test.each(file.vectors)('$name', async (one) => {
    clock = one.clock;
    const { keys } = one.jwks ?? file.jwks;
    const gatehouse = new ScriptedGatehouse({ keys: [...keys, feedKey.jwk] });
    const verifier = start(file, gatehouse);
    const page = { issuer: file.issuer, cursor: 'epoch---.1', as_of: clock, full: true, entries: one.entries ?? [] };
    (await gatehouse.question()).answer(await sign(page, feedKey, { typ: 'revocations+jwt' }));
    await verifier.ready();
    for (const how of ['as it comes', 'as it is remembered']) {
      expect(await verifier.verify(one.token), how).toEqual(
        one.accept
          ? { ok: true, claims: one.claims, stalenessMs: expect.any(Number) }
          : { ok: false, reason: one.reason },
      );
    }
  });

  // Somebody else's implementation of the same: what jose takes for a signed access token, and nothing else.
  test.each(file.vectors.filter(({ jwks }) => !jwks))('jose agrees: $name', async (one) => {
    const key = async ({ kid, typ }: { kid?: string; typ?: string }) => {
      const jwk = file.jwks.keys.find((candidate) => candidate.kid === kid);
      if (!jwk || typ !== 'at+jwt') throw new Error('no key');
      return (await importJWK(jwk, 'ES256')) as CryptoKey;
    };
    const isSigned = await compactVerify(one.token, key, { algorithms: ['ES256'] }).then(
      () => true,
      () => false,
    );
    const isGood = one.accept || AFTER_SIGNATURE.includes(one.reason ?? '');
    expect(isSigned).toBe(isGood || JOSE_ACCEPTS.includes(one.name));
  });
});

describe('feed.json', () => {
  const file = load('feed');

  test.each(file.vectors)('$name', async (one) => {
    const keys = new KeySet();
    keys.replace(one.jwks ?? file.jwks, one.clock);
    const heard = { cursor: { epoch: 'epoch---', position: 1 }, asOf: one.clock, isFull: true };
    applyPage({ ...heard, entries: (one.entries ?? []).map(readEntry) }, keys, new Revocations(), one.clock);
    const page = await readPage(one.answer, keys, file.issuer, one.clock, one.since).catch((error: Error) => error);
    if (!one.accept) {
      expect(page).toMatchObject({ reason: 'refused', message: expect.stringMatching(DETAILS[one.reason ?? '']!) });
      return;
    }
    const { cursor, as_of: asOf, full: isFull, entries } = one.payload as Record<string, any>;
    const [epoch, position] = cursor.split('.');
    expect(page).toEqual({
      cursor: { epoch, position: Number(position) },
      asOf,
      isFull,
      entries: entries.map(readEntry),
    });
  });
});

describe('sequences.json', () => {
  const file = load<Sequence>('sequences');

  test.each(file.vectors)('$name', async ({ steps, max_staleness_ms: maxStalenessMs }) => {
    clock = steps[0]!.clock;
    const uptime = vi.spyOn(performance, 'now').mockImplementation(() => clock * 1000);
    onTestFinished(() => uptime.mockRestore());
    const gatehouse = new ScriptedGatehouse(file.jwks);
    const verifier = start(file, gatehouse, maxStalenessMs);
    let question = await gatehouse.question();
    let askedAt = clock;
    for (const step of steps) {
      const where = `step ${steps.indexOf(step) + 1}`;
      clock = step.clock;
      if (step.asked_at === undefined) {
        const result = await verifier.verify(step.token, { minCursor: step.min_cursor });
        expect(result.ok || result.reason, where).toBe(step.accept || step.reason);
        continue;
      }
      expect({ askedAt, since: question.since }, where).toEqual({ askedAt: step.asked_at, since: step.since });
      const failures = () => events.flatMap((event) => (event.name === 'feed_failed' ? event.detail : []));
      const before = failures().length;
      question.answer(step.answer);
      question = await gatehouse.question();
      askedAt = clock;
      if (step.accept) expect(failures(), where).toHaveLength(before);
      else expect(failures().at(-1), where).toMatch(DETAILS[step.reason ?? '']!);
    }
  });
});

test('every reason that needs no network has a vector that is refused for it', () => {
  const reasons: Record<Exclude<InvalidTokenReason, 'inactive'>, true> = {
    malformed: true,
    algorithm: true,
    type: true,
    header: true,
    revoked_key: true,
    unknown_key: true,
    signature: true,
    claims: true,
    issuer: true,
    audience: true,
    lifetime: true,
    expired: true,
    not_yet_valid: true,
    revoked: true,
  };
  const seen = OF_TOKENS.flatMap((name) => load(name).vectors.flatMap((one) => one.reason ?? []));
  expect([...new Set(seen)].sort()).toEqual(Object.keys(reasons).sort());
  const ofAnswers = [...load('feed').vectors, ...load<Sequence>('sequences').vectors.flatMap(({ steps }) => steps)]
    .filter((one) => 'answer' in one)
    .flatMap(({ reason }) => reason ?? []);
  expect([...new Set(ofAnswers)].sort()).toEqual(Object.keys(DETAILS).sort());
});

test('the signatures of what is accepted fit, by node:crypto and in DER', () => {
  for (const name of OF_TOKENS) {
    const { jwks, vectors } = load(name);
    for (const { token, accept } of vectors.filter((one) => one.accept && !one.jwks)) {
      const [header, payload, signature] = token.split('.') as [string, string, string];
      const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
      const key = createPublicKey({ key: jwks.keys.find((jwk) => jwk.kid === kid) as JsonWebKey, format: 'jwk' });
      const input = Buffer.from(`${header}.${payload}`);
      expect(verify('sha256', input, key, der(Buffer.from(signature, 'base64url')))).toBe(accept);
    }
  }
});

describe('the form', () => {
  const schema = read('schema') as object;

  test.each(FILES)('of %s.json is that of the schema, and its names are unique', (name) => {
    const file = load(name);
    expect(problemsBySchema(file, schema)).toEqual([]);
    const names = file.vectors.map((one) => one.name);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each<[string, (one: any) => void]>([
    ['a member too many', (one) => (one.note = 'x')],
    ['a member missing', (one) => delete one.name],
    ['another type', (one) => (one.name = 1)],
    ['a reason that nobody knows', (one) => Object.assign(one, { accept: false, reason: 'x' })],
  ])('is another one with %s', (_, spoil) => {
    for (const name of FILES) {
      const file = load(name);
      spoil(file.vectors[0]);
      expect(problemsBySchema(file, schema), name).toEqual(['$.vectors[0] is none of 5']);
    }
  });
});

test('every file of vectors is run', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(
    ['README.md', 'schema.json', ...FILES.map((name) => `${name}.json`)].sort(),
  );
});
