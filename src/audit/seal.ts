import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import type { MasterKeys } from '../common/master-keys.js';
import type { AuditEvent } from './audit-event.entity.js';
import type { AuditSeal } from './audit-seal.entity.js';
import { canonicalEvent } from './event-mac.js';
import { leafHash } from './merkle-tree.js';

/** What stands before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410, section 7). */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const HEX_DIGITS = 32;

/** `previous` of the first seal. */
export const NO_PREVIOUS = Buffer.alloc(32).toString('base64url');

/** What stands in the tree for an event; for one that was gone before it could be sealed, its id. */
export function leafOf(id: string, event: AuditEvent | undefined): Buffer {
  return leafHash(event ? `${canonicalEvent(event)}${event.mac}` : id);
}

/** Whether it is an id as we make them: what a list of a seal can hold. */
export function isEventId(text: string): boolean {
  return /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/.test(text);
}

/** When an event was written, by its UUIDv7 (RFC 9562, section 5.7): milliseconds since 1970; NaN for what is no id. */
export function timeOf(id: string): number {
  return parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

export function packIds(ids: readonly string[]): string {
  return ids.map((id) => id.replaceAll('-', '')).join('');
}

export function unpackIds(packed: string): string[] {
  const ids: string[] = [];
  for (let i = 0; i < packed.length; i += HEX_DIGITS) {
    ids.push(packed.slice(i, i + HEX_DIGITS).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));
  }
  return ids;
}

/** A seal before it is signed. */
export type UnsignedSeal = Omit<AuditSeal, 'hash' | 'keyId' | 'signature'>;

export function signSeal(seal: UnsignedSeal, masterKeys: MasterKeys): AuditSeal {
  const hash = hashOf(seal);
  const { id, secret } = masterKeys.newestDerived('audit-seal');
  return { ...seal, hash, keyId: id, signature: sign(null, Buffer.from(hash), keyOf(secret)).toString('base64url') };
}

export function hashOf(seal: UnsignedSeal): string {
  const { number, kind, sealedAt, eventCount, root, purgedThrough, previous } = seal;
  const content = JSON.stringify([number, kind, sealedAt, eventCount, root, purgedThrough, previous]);
  return createHash('sha256').update(content).digest('base64url');
}

/** Whether we signed its hash; undefined when the master key that did is not in the list any more. */
export function isSignedByUs(seal: AuditSeal, masterKeys: MasterKeys): boolean | undefined {
  const secret = masterKeys.derived('audit-seal', seal.keyId);
  if (!secret) return undefined;
  const signature = Buffer.from(seal.signature, 'base64url');
  const isCanonical = signature.toString('base64url') === seal.signature;
  return isCanonical && verify(null, Buffer.from(seal.hash), publicKeyOf(secret), signature);
}

/** By the seed of the private half: there is one for each master key, and a signature for each seal. */
const publicKeys = new WeakMap<Buffer, KeyObject>();

function publicKeyOf(seed: Buffer): KeyObject {
  const known = publicKeys.get(seed) ?? createPublicKey(keyOf(seed));
  publicKeys.set(seed, known);
  return known;
}

function keyOf(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, seed]), format: 'der', type: 'pkcs8' });
}
