import { createPublicKey, type JsonWebKey } from 'node:crypto';

const MAX_KEYS = 10;
const MAX_LENGTH = 8_192;
const RSA_MIN_BITS = 3_072;

/**
 * The public keys of a JWK set (RFC 7517), and nothing else of it, as JSON.
 *
 * @returns undefined when it is none, has a private key, or one that no assertion may be signed with.
 */
export function publicKeysOf(text: string): string | undefined {
  let keys: unknown;
  try {
    ({ keys } = Object(JSON.parse(text)) as { keys?: unknown });
  } catch {
    return undefined;
  }
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_KEYS) return undefined;
  if (!keys.every((key) => isUsable(key as JsonWebKey))) return undefined;
  const set = JSON.stringify({ keys });
  return set.length > MAX_LENGTH ? undefined : set;
}

function isUsable(jwk: JsonWebKey): boolean {
  if (typeof jwk !== 'object' || jwk === null || 'd' in jwk || 'k' in jwk) return false;
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey({ key: jwk, format: 'jwk' });
    if (type === 'ec') return ['prime256v1', 'secp384r1'].includes(details?.namedCurve ?? '');
    return type === 'ed25519' || (type === 'rsa' && (details?.modulusLength ?? 0) >= RSA_MIN_BITS);
  } catch {
    return false;
  }
}
