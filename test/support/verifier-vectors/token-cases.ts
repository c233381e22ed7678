import { createHmac } from 'node:crypto';
import {
  accepted,
  AUDIENCE,
  CLAIMS,
  HEADER,
  ISSUED,
  ISSUER,
  NOW,
  ONE,
  refused,
  SESSION,
  STRANGER,
  token,
  TOKEN_ID,
  TWO,
  USER,
  type Case,
} from './cases.js';
import { der, ecdsa, encoded, joined, mirrored, pemOf, signed, signedInput, type Part } from './signing.js';

const GOOD = token();
const [header, payload, signature] = GOOD.split('.') as [string, string, string];
const input = `${header}.${payload}`;
const octets = Buffer.from(signature, 'base64url');
const ATTACKER = 'https://attacker.example';

const withSignature = (bytes: Uint8Array) => `${input}.${Buffer.from(bytes).toString('base64url')}`;
const withHeader = (part: Part) => signed(part, CLAIMS, ONE);
const withMembers = (members: object) => withHeader({ ...HEADER, ...members });
const NOT_UTF8 = Buffer.from([0x22, 0xff, 0x22]);

/** The same octets in another spelling: the last character has bits that no octet uses. */
function spoilt(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  if (Buffer.from(part, 'base64url').length % 3 === 0) throw new Error('it has no unused bits');
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(part.at(-1) as string) + 1] as string);
}

/** A good token of exactly so many octets, and its claims. */
function ofLength(length: number): [string, object] {
  for (let size = length / 2; ; size += 1) {
    const claims = { ...CLAIMS, note: 'x'.repeat(size) };
    const text = token(claims);
    if (text.length === length) return [text, claims];
    if (text.length > length) throw new Error(`no token has ${length} octets`);
  }
}

function hs256(secret: string): string {
  const text = `${encoded({ ...HEADER, alg: 'HS256' })}.${payload}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** The file's JWKS, the first key with other members. */
const otherJwks = (members: object) => ({ jwks: { keys: [{ ...ONE.jwk, ...members }, TWO.jwk] } });
const { kty, crv, x, y, kid } = ONE.jwk;

const roles = { ...CLAIMS, roles: ['reader'], act: { sub: 'admin' } };
const [longest, longestClaims] = ofLength(4096);
const bitChanged = Buffer.from(octets);
bitChanged[8] = (bitChanged[8] as number) ^ 1;

/** Form, header, key and signature. */
export const tokenCases: Case[] = [
  accepted('a good token', GOOD),
  accepted('a good token of the other key', signed({ ...HEADER, kid: TWO.kid }, CLAIMS, TWO)),
  accepted('claims that nobody knows are passed on', token(roles), {}, roles),
  accepted('the members of the header in another order', withHeader({ kid, typ: 'at+jwt', alg: 'ES256' })),
  accepted('4096 octets', longest, {}, longestClaims),
  refused('4097 octets', 'malformed', ofLength(4097)[0]),
  accepted(
    'the other of the two signatures that ECDSA has: another spelling of the same token',
    withSignature(joined(mirrored(ecdsa(input, ONE)))),
  ),

  refused('empty', 'malformed', ''),
  refused('two parts', 'malformed', input),
  refused('four parts', 'malformed', `${GOOD}.${signature}`),
  refused('five parts, as of a JWE', 'malformed', `${header}.${signature}.${signature}.${payload}.${signature}`),
  refused('an empty header', 'malformed', `.${payload}.${signature}`),
  refused('an empty payload', 'malformed', signedInput(`${header}.`, ONE)),
  refused('an empty signature', 'malformed', `${input}.`),
  refused('a padded signature', 'malformed', `${GOOD}==`),
  refused('a padded payload', 'malformed', `${input}=.${signature}`),
  refused('unused bits set at the end of the signature', 'malformed', `${input}.${spoilt(signature)}`),
  refused(
    'unused bits set at the end of the payload, and signed so',
    'malformed',
    signedInput(`${header}.${spoilt(encoded({ ...CLAIMS, note: 'x' }))}`, ONE),
  ),
  refused(
    'unused bits set at the end of the header, and signed so',
    'malformed',
    signedInput(`${spoilt(encoded({ ...HEADER, kid: 'k' }))}.${payload}`, ONE),
  ),
  refused(
    'the alphabet of base64 instead of base64url',
    'malformed',
    `${input}.${octets.toString('base64').replaceAll('=', '')}`,
  ),
  refused('a space in front', 'malformed', ` ${GOOD}`),
  refused('a space behind', 'malformed', `${GOOD} `),
  refused('a line feed behind', 'malformed', `${GOOD}\n`),
  refused(
    'a line feed in the payload',
    'malformed',
    `${header}.${payload.slice(0, 9)}\n${payload.slice(9)}.${signature}`,
  ),
  refused('a NUL in the payload', 'malformed', `${header}.${payload.slice(0, 9)}\0${payload.slice(9)}.${signature}`),
  refused('the scheme in front', 'malformed', `Bearer ${GOOD}`),
  refused('a letter that is not ASCII', 'malformed', `${header}.${payload.slice(0, -1)}é.${signature}`),
  refused('a part of a length that base64url never has', 'malformed', GOOD.slice(0, -1)),
  refused('a header that is not JSON', 'malformed', withHeader('{"alg":"ES256"')),
  refused('a header that is an array', 'malformed', withHeader([HEADER])),
  refused('a header that is null', 'malformed', withHeader('null')),
  refused('a header that is a string', 'malformed', withHeader('"ES256"')),
  refused(
    'a header that is not UTF-8',
    'malformed',
    withHeader(Buffer.concat([Buffer.from('{"x":'), NOT_UTF8, Buffer.from('}')])),
  ),

  refused('alg none, and a signature', 'algorithm', withMembers({ alg: 'none' })),
  refused('alg none, without a signature', 'malformed', `${encoded({ ...HEADER, alg: 'none' })}.${payload}.`),
  refused('alg nOnE', 'algorithm', withMembers({ alg: 'nOnE' })),
  refused('alg HS256, keyed with the public key as PEM', 'algorithm', hs256(pemOf(ONE))),
  refused('alg HS256, keyed with the public key as JWK', 'algorithm', hs256(JSON.stringify(ONE.jwk))),
  refused('alg RS256', 'algorithm', withMembers({ alg: 'RS256' })),
  refused('alg ES384', 'algorithm', withMembers({ alg: 'ES384' })),
  refused('alg in lower case', 'algorithm', withMembers({ alg: 'es256' })),
  refused('alg in an array', 'algorithm', withMembers({ alg: ['ES256'] })),
  refused('no alg', 'algorithm', withMembers({ alg: undefined })),
  refused('typ JWT', 'type', withMembers({ typ: 'JWT' })),
  refused('typ of the feed', 'type', withMembers({ typ: 'revocations+jwt' })),
  refused('typ with its prefix, which Gatehouse does not write', 'type', withMembers({ typ: 'application/at+jwt' })),
  refused('typ in upper case', 'type', withMembers({ typ: 'AT+JWT' })),
  refused('no typ', 'type', withMembers({ typ: undefined })),
  refused(
    'an embedded key, which has signed',
    'header',
    signed({ ...HEADER, kid: STRANGER.kid, jwk: STRANGER.jwk }, CLAIMS, STRANGER),
  ),
  refused('an embedded key beside a good signature', 'header', withMembers({ jwk: ONE.jwk })),
  refused('jku', 'header', withMembers({ jku: `${ATTACKER}/jwks.json` })),
  refused('x5u', 'header', withMembers({ x5u: `${ATTACKER}/cert.pem` })),
  refused('x5c', 'header', withMembers({ x5c: ['MIIB'] })),
  refused('crit', 'header', withMembers({ crit: ['exp'] })),
  refused('b64', 'header', withMembers({ b64: false, crit: ['b64'] })),
  refused('cty', 'header', withMembers({ cty: 'JWT' })),
  refused('no kid', 'header', withMembers({ kid: undefined })),
  refused('an empty kid', 'header', withMembers({ kid: '' })),
  refused('a kid that is a number', 'header', withMembers({ kid: 1 })),
  refused('a kid that is an array', 'header', withMembers({ kid: [ONE.kid] })),
  refused('a kid that is a path', 'header', withMembers({ kid: '../../../dev/null' })),
  refused('a kid that is SQL', 'header', withMembers({ kid: `' OR 1=1 --` })),
  refused('a kid of 65 characters', 'header', withMembers({ kid: 'k'.repeat(65) })),
  refused('a kid of 64 characters that is not in the JWKS', 'unknown_key', withMembers({ kid: 'k'.repeat(64) })),
  refused('a kid that every object has', 'unknown_key', withMembers({ kid: '__proto__' })),
  refused('a key that is not in the JWKS', 'unknown_key', signed({ ...HEADER, kid: STRANGER.kid }, CLAIMS, STRANGER)),
  refused('a kid in another case', 'unknown_key', withMembers({ kid: ONE.kid.toLowerCase() })),
  refused('a JWKS whose key of that name is for encryption', 'unknown_key', GOOD, otherJwks({ use: 'enc' })),
  refused('a JWKS whose key of that name is for another algorithm', 'unknown_key', GOOD, otherJwks({ alg: 'ES384' })),
  refused('a JWKS whose key of that name is a secret', 'unknown_key', GOOD, {
    jwks: { keys: [{ kty: 'oct', k: encoded('secret'), kid }, TWO.jwk] },
  }),
  refused(
    'a JWKS whose key of that name is not a point of the curve',
    'unknown_key',
    GOOD,
    otherJwks({ y: y.slice(0, 4) + (y[4] === 'A' ? 'B' : 'A') + y.slice(5) }),
  ),
  accepted('a JWKS whose keys have neither alg nor use', GOOD, { jwks: { keys: [{ kty, crv, x, y, kid }] } }),
  accepted('a JWKS with a key that nobody knows', GOOD, {
    jwks: { keys: [{ kty: 'AKP', alg: 'ML-DSA-65', kid: 'pq', pub: 'AAAA' }, ONE.jwk] },
  }),

  refused('signed by another key of the JWKS than the one it names', 'signature', signed(HEADER, CLAIMS, TWO)),
  refused('signed by a stranger under a name of the JWKS', 'signature', signed(HEADER, CLAIMS, STRANGER)),
  refused('one bit of the signature changed', 'signature', withSignature(bitChanged)),
  refused('a claim changed', 'signature', `${header}.${encoded({ ...CLAIMS, sub: 'somebody else' })}.${signature}`),
  refused(
    'the header changed',
    'signature',
    `${encoded({ kid, typ: 'at+jwt', alg: 'ES256' })}.${payload}.${signature}`,
  ),
  refused('the signature of another token', 'signature', `${input}.${token({ note: 'x' }).split('.')[2] ?? ''}`),
  refused('a signature of zeros', 'signature', withSignature(Buffer.alloc(64))),
  refused('a signature in DER', 'signature', withSignature(der(octets))),
  refused('a signature of 63 octets', 'signature', withSignature(octets.subarray(0, 63))),
  refused('a signature of 65 octets', 'signature', withSignature(Buffer.concat([octets, Buffer.alloc(1)]))),
];

const withPayload = (part: Part) => signed(HEADER, part, ONE);
const without = (name: string) => token({ [name]: undefined });
const at = (clock: number) => ({ clock });
const early = { nbf: ISSUED + 60 };
const long = { exp: ISSUED + 900 };

/** The claims, at the last valid and the first invalid second. */
export const claimCases: Case[] = [
  refused('a payload that is not JSON', 'claims', withPayload('{"iss":')),
  refused('a payload that is an array', 'claims', withPayload([CLAIMS])),
  refused('a payload that is null', 'claims', withPayload('null')),
  refused(
    'a payload that is not UTF-8',
    'claims',
    withPayload(
      Buffer.concat([Buffer.from(JSON.stringify(CLAIMS).replace(/\}$/, ',"note":')), NOT_UTF8, Buffer.from('}')]),
    ),
  ),
  ...['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'auth_time'].map((name) =>
    refused(`no ${name}`, 'claims', without(name)),
  ),
  ...['iss', 'aud', 'sub', 'client_id', 'jti', 'sid'].map((name) =>
    refused(`${name} is a number`, 'claims', token({ [name]: 1 })),
  ),
  ...(['iat', 'exp', 'auth_time'] as const).map((name) =>
    refused(`${name} is a string`, 'claims', token({ [name]: String(CLAIMS[name]) })),
  ),
  refused('exp is null', 'claims', token({ exp: null })),
  refused('exp has a fraction', 'claims', token({ exp: ISSUED + 300.5 })),
  refused('nbf is a string', 'claims', token({ nbf: String(ISSUED) })),
  refused('aud is an array with ours: Gatehouse writes a string', 'claims', token({ aud: [AUDIENCE] })),
  refused('aud is an array with ours and another', 'claims', token({ aud: [AUDIENCE, 'https://other.example.com'] })),
  refused('aud is an empty array', 'claims', token({ aud: [] })),

  refused('another issuer', 'issuer', token({ iss: 'https://other.example.com' })),
  refused('the issuer with a slash behind', 'issuer', token({ iss: `${ISSUER}/` })),
  refused('the issuer in upper case', 'issuer', token({ iss: ISSUER.toUpperCase() })),
  refused('another audience', 'audience', token({ aud: 'https://other.example.com' })),
  refused('an audience that begins with ours', 'audience', token({ aud: `${AUDIENCE}.attacker.example` })),
  refused('an empty audience', 'audience', token({ aud: '' })),

  accepted('the last second', GOOD, at(ISSUED + 299)),
  refused('the second that exp names', 'expired', GOOD, at(ISSUED + 300)),
  refused('long after', 'expired', GOOD, at(ISSUED + 86_400)),
  accepted('issued 5 s ahead of our clock', GOOD, at(ISSUED - 5)),
  refused('issued 6 s ahead of our clock', 'not_yet_valid', GOOD, at(ISSUED - 6)),
  accepted('nbf 5 s ahead', token(early), at(ISSUED + 55), { ...CLAIMS, ...early }),
  refused('nbf 6 s ahead', 'not_yet_valid', token(early), at(ISSUED + 54)),
  accepted('a life of 900 s', token(long), {}, { ...CLAIMS, ...long }),
  refused('a life of 901 s', 'lifetime', token({ exp: ISSUED + 901 })),
  refused('a life of a hundred years', 'lifetime', token({ exp: ISSUED + 3_155_760_000 })),
  refused(
    'exp before iat: expired or not yet issued, whatever the time',
    'expired',
    token({ exp: ISSUED - 1 }),
    at(ISSUED),
  ),
];

const LIVE = { expires_at: ISSUED + 900 };
const session = { kind: 'sid', value: SESSION, ...LIVE };
const user = { kind: 'sub', value: USER, ...LIVE };
const key = { kind: 'kid', value: ONE.kid, ...LIVE };
const isRevoked = (name: string, entries: object[], text = GOOD) => refused(name, 'revoked', text, { entries });
const isNot = (name: string, entries: object[]) => accepted(name, GOOD, { entries });

/** What the feed has said before. */
export const revocationCases: Case[] = [
  isNot('nothing is revoked', []),
  isRevoked('its session', [session]),
  isNot('another session', [
    { ...session, value: USER },
    { ...session, value: TOKEN_ID },
    { ...session, value: SESSION.toUpperCase() },
  ]),
  isRevoked('its session, among others', [{ ...session, value: 'one' }, session, { ...session, value: 'another' }]),
  isRevoked(
    'its session, in the other spelling of the same token',
    [session],
    withSignature(joined(mirrored(ecdsa(input, ONE)))),
  ),
  isRevoked('its user, for tokens issued before the second after its own', [{ ...user, not_before: ISSUED + 1 }]),
  isNot('its user, for tokens issued before its own second', [{ ...user, not_before: ISSUED }]),
  isRevoked('its user, without a time: everything', [user]),
  isRevoked('its user, twice: the later time counts', [
    { ...user, not_before: ISSUED + 1 },
    { ...user, not_before: ISSUED - 100 },
  ]),
  isNot('another user', [{ ...user, value: SESSION, not_before: ISSUED + 1 }]),
  isRevoked('an entry that expired 4 s ago still counts', [{ ...session, expires_at: NOW - 4 }]),
  isNot('an entry that expired 5 s ago is forgotten', [{ ...session, expires_at: NOW - 5 }]),
  isNot('an entry of a user that expired 5 s ago is forgotten', [
    { ...user, expires_at: NOW - 5, not_before: ISSUED + 1 },
  ]),
  refused('its key', 'revoked_key', GOOD, { entries: [key] }),
  isNot('another key', [{ ...key, value: TWO.kid }]),
  refused('its key, long expired: dropped for as long as the JWKS lists it', 'revoked_key', GOOD, {
    entries: [{ ...key, expires_at: ISSUED - 86_400 }],
  }),
  refused(
    'a key that the JWKS does not list',
    'revoked_key',
    signed({ ...HEADER, kid: STRANGER.kid }, CLAIMS, STRANGER),
    { entries: [{ ...key, value: STRANGER.kid }] },
  ),
  refused('its key, and the signature does not fit', 'revoked_key', signed(HEADER, CLAIMS, TWO), { entries: [key] }),
  refused('its session, and it has expired', 'expired', GOOD, { entries: [session], ...at(ISSUED + 300) }),
];
