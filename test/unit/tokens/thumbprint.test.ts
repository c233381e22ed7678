import { expect, test } from 'vitest';
import { thumbprint } from '../../../src/tokens/key-vault.js';

// Proves ASVS 11.2.3, ASVS Appendix C, RFC 7638, RFC 7517: the key set: P-256 keys for ES256, named by their thumbprints, and the public half alone
test('RFC 7638: a known answer for a P-256 key (computed with an independent implementation)', () => {
  const key = {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', // RFC 7515, appendix A.3
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  };
  expect(thumbprint(key)).toBe('oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U');
});
