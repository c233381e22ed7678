import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** A new key pair; of the curve P-256 if nothing else is named. It may be exported, as `KeyVault.generate` explains. */
export function keyPair(
  type = 'ec',
  options: object = { namedCurve: 'P-256' },
): { publicKey: KeyObject; privateKey: KeyObject } {
  const generate = generateKeyPairSync as (type: string, options: object) => { publicKey: string; privateKey: string };
  const { publicKey, privateKey } = generate(type, {
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { publicKey: createPublicKey(publicKey), privateKey: createPrivateKey(privateKey) };
}
