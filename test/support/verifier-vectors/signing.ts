import { createECDH, createHash, createHmac, createPublicKey } from 'node:crypto';

/** The order of P-256 (SEC 2, section 2.4.2). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

export interface Jwk {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
  kid: string;
  alg: 'ES256';
  use: 'sig';
}

/** A key for vectors and nothing else: everybody can know its private half. */
export interface VectorKey {
  kid: string;
  secret: bigint;
  jwk: Jwk;
}

/** Made of a name, the same every time. Its `kid` is the thumbprint of RFC 7638. */
export function vectorKey(name: string): VectorKey {
  const secret = numberOf(sha256(`gatehouse-verifier vectors: ${name}`)) % ORDER;
  const point = pointOf(secret);
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString('base64url')) as [
    string,
    string,
  ];
  const kid = sha256(JSON.stringify({ crv: 'P-256', kty: 'EC', x, y })).toString('base64url');
  return { kid, secret, jwk: { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' } };
}

/**
 * R and S of ECDSA with P-256 and SHA-256. Of the same text always the same, as in RFC 6979 but simpler, so that the files
 * change where a case does: `node:crypto` has no such signatures.
 */
export function ecdsa(text: string, { secret }: VectorKey): { r: bigint; s: bigint } {
  const digest = sha256(text);
  const nonce = numberOf(createHmac('sha256', octets(secret)).update(digest).digest()) % ORDER;
  const r = numberOf(pointOf(nonce).subarray(1, 33)) % ORDER;
  const s = (power(nonce, ORDER - 2n) * (numberOf(digest) + r * secret)) % ORDER;
  return { r, s };
}

/** A signature as in a JWS (RFC 7518, section 3.4). */
export function joined({ r, s }: { r: bigint; s: bigint }): Buffer {
  return Buffer.concat([octets(r), octets(s)]);
}

/** The other signature of the same text that fits. */
export function mirrored({ r, s }: { r: bigint; s: bigint }): { r: bigint; s: bigint } {
  return { r, s: ORDER - s };
}

/** A signature as in X.509: R and S as ASN.1. */
export function der(signature: Buffer): Buffer {
  const integer = (part: Buffer) => {
    const digits = part.subarray(part.findIndex((octet) => octet !== 0));
    const value = (digits[0] as number) >= 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits;
    return Buffer.concat([Buffer.from([0x02, value.length]), value]);
  };
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

export function pemOf({ jwk }: VectorKey): string {
  return createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' }) as string;
}

/** What is signed; an object as JSON. */
export type Part = object | string | Uint8Array;

export function encoded(part: Part): string {
  const isText = typeof part === 'string' || part instanceof Uint8Array;
  return Buffer.from(isText ? (part as string) : JSON.stringify(part)).toString('base64url');
}

/** A compact JWS of two parts that are encoded already. */
export function signedInput(input: string, key: VectorKey): string {
  return `${input}.${joined(ecdsa(input, key)).toString('base64url')}`;
}

/** A compact JWS. */
export function signed(header: Part, payload: Part, key: VectorKey): string {
  return signedInput(`${encoded(header)}.${encoded(payload)}`, key);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function pointOf(scalar: bigint): Buffer {
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(octets(scalar));
  return curve.getPublicKey();
}

function octets(number: bigint): Buffer {
  return Buffer.from(number.toString(16).padStart(64, '0'), 'hex');
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`);
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let factor = base; exponent > 0n; exponent >>= 1n, factor = (factor * factor) % ORDER) {
    if (exponent & 1n) result = (result * factor) % ORDER;
  }
  return result;
}
