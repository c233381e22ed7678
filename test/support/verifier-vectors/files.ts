import { format } from 'prettier';
import { AUDIENCE, ISSUER, JWKS } from './cases.js';
import { feedCases, sequenceCases } from './feed-cases.js';
import { claimCases, revocationCases, tokenCases } from './token-cases.js';

const configured = { issuer: ISSUER, audience: AUDIENCE, jwks: JWKS };

/** The conformance vectors of `src/verifier/vectors/`. */
const files = {
  tokens: { about: 'Form, header, key and signature of an access token.', ...configured, vectors: tokenCases },
  claims: {
    about: 'The claims of an access token, at the last valid and the first invalid second.',
    ...configured,
    vectors: claimCases,
  },
  revocations: { about: 'What the feed has said so far, as `entries`.', ...configured, vectors: revocationCases },
  feed: {
    about: 'Answers of the revocation feed: whether one may be believed at all, whatever came before it.',
    ...configured,
    vectors: feedCases,
  },
  sequences: {
    about: 'Answers of the revocation feed one after the other, and tokens in between.',
    ...configured,
    vectors: sequenceCases,
  },
};

export const VECTOR_FILES = Object.keys(files) as (keyof typeof files)[];

export function vectorFile(name: keyof typeof files): Promise<string> {
  return format(JSON.stringify(files[name], null, 2), { parser: 'json', printWidth: 120 });
}
