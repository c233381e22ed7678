import { createHash } from 'node:crypto';

/** Different first bytes, so that no event can be read as a node, nor a node as an event. */
const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

export function leafHash(data: string): Buffer {
  return createHash('sha256').update(LEAF).update(data, 'utf8').digest();
}

/** Merkle tree hash of leaves in their order (RFC 9162, section 2.1.1): 32 bytes; of no leaves SHA-256 of nothing. */
export function merkleRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest();
  let level = leaves;
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i] as Buffer, level[i + 1]];
      // The odd one out goes up as it is: pairing from the left gives the RFC's tree.
      next.push(right ? createHash('sha256').update(NODE).update(left).update(right).digest() : left);
    }
    level = next;
  }
  return level[0] as Buffer;
}
