import { signed, vectorKey, type Part } from './signing.js';

export const ISSUER = 'https://auth.example.com';
export const AUDIENCE = 'https://api.example.com';
/** When the tokens of the vectors were issued, in seconds since the epoch, and when they are sent unless a case says else. */
export const ISSUED = 1_800_000_000;
export const NOW = ISSUED + 10;

/** The two keys of the JWKS, and one that is not in it. */
export const ONE = vectorKey('one');
export const TWO = vectorKey('two');
export const STRANGER = vectorKey('stranger');
export const JWKS = { keys: [ONE.jwk, TWO.jwk] };

export const USER = '019a6f2e-6d3c-7a51-9b0e-3f6f0f0a1c01';
export const SESSION = '019a6f2e-6d3c-7a51-9b0e-3f6f0f0a1c02';
export const TOKEN_ID = '019a6f2e-6d3c-7a51-9b0e-3f6f0f0a1c03';

export const CLAIMS = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: USER,
  client_id: 'first-party',
  iat: ISSUED,
  exp: ISSUED + 300,
  jti: TOKEN_ID,
  sid: SESSION,
  auth_time: ISSUED - 60,
};

export const HEADER = { alg: 'ES256', typ: 'at+jwt', kid: ONE.kid };

/** An access token, signed by the first key. A member that is undefined is left out. */
export function token(claims: object = {}, header: Part = HEADER): string {
  return signed(header, { ...CLAIMS, ...claims }, ONE);
}

/** What a case of a file is, and how it ends. */
export type Case = Record<string, unknown>;

export function accepted(name: string, text: string, more: Case = {}, claims: object = CLAIMS): Case {
  return { name, token: text, clock: NOW, ...more, accept: true, claims };
}

export function refused(name: string, reason: string, text: string, more: Case = {}): Case {
  return { name, token: text, clock: NOW, ...more, accept: false, reason };
}
