import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { leafHash, merkleRoot } from '../../../src/audit/merkle-tree.js';

const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
const node = (left: Buffer, right: Buffer) => sha256(Buffer.of(1), left, right);
const leaves = Array.from({ length: 8 }, (_, i) => leafHash(`event ${i}`));
const [a, b, c, d, e, f, g] = leaves as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];

// The inputs and roots of certificate-transparency's own tests (merkle_tree_test.cc), in hexadecimal.
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

test('known answers: trees of no leaf to eight', () => {
  const leavesOf = (count: number) => INPUTS.slice(0, count).map((hex) => leafHash(Buffer.from(hex, 'hex').toString()));
  for (const [count, root] of ROOTS.entries()) expect(merkleRoot(leavesOf(count)).toString('hex')).toBe(root);
});

test('a leaf is its bytes behind a zero', () => {
  expect(leafHash('ünïcode')).toEqual(sha256(Buffer.of(0), Buffer.from('ünïcode', 'utf8')));
});

test('trees of RFC 9162, section 2.1.1, written out', () => {
  expect(merkleRoot([a])).toEqual(a);
  expect(merkleRoot([a, b])).toEqual(node(a, b));
  expect(merkleRoot([a, b, c])).toEqual(node(node(a, b), c));
  expect(merkleRoot([a, b, c, d, e])).toEqual(node(node(node(a, b), node(c, d)), e));
  expect(merkleRoot([a, b, c, d, e, f, g])).toEqual(node(node(node(a, b), node(c, d)), node(node(e, f), g)));
});

test('the same as the RFC’s own definition, which splits at the largest power of two', () => {
  const byDefinition = (part: Buffer[]): Buffer => {
    if (part.length === 1) return part[0] as Buffer;
    const split = 2 ** Math.floor(Math.log2(part.length - 1));
    return node(byDefinition(part.slice(0, split)), byDefinition(part.slice(split)));
  };
  for (const length of [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 499, 500]) {
    const many = Array.from({ length }, (_, i) => leafHash(String(i)));
    expect(merkleRoot(many), `${length} leaves`).toEqual(byDefinition(many));
  }
});

test('two leaves in another order have another root, and no node passes for a leaf', () => {
  expect(merkleRoot([b, a])).not.toEqual(merkleRoot([a, b]));
  expect(merkleRoot([node(a, b)])).not.toEqual(leafHash(Buffer.concat([a, b]).toString('latin1')));
});
