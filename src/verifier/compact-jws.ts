import { isUtf8 } from 'node:buffer';

const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** The parts of a compact JWS (RFC 7515, section 7.1). */
export interface CompactJws {
  header: Record<string, unknown>;
  payload: Buffer;
  /** What is signed. */
  input: Buffer;
  signature: Buffer;
}

/**
 * Takes a compact JWS apart; undefined when it is not one. Only the canonical spelling of base64url: a token has one
 * spelling then, but for the two that every ECDSA signature has.
 */
export function parseCompact(text: string): CompactJws | undefined {
  const header = headerOf(text);
  if (!header) return undefined;
  const first = text.indexOf('.');
  const second = text.lastIndexOf('.');
  const payload = decode(text.slice(first + 1, second));
  const signature = decode(text.slice(second + 1));
  if (!payload || !signature) return undefined;
  return { header, payload, input: Buffer.from(text.slice(0, second), 'latin1'), signature };
}

/** The protected header of a compact JWS, whose other parts are not looked at; undefined when it is not one. */
export function headerOf(text: string): Record<string, unknown> | undefined {
  const octets = COMPACT.test(text) ? decode(text.slice(0, text.indexOf('.'))) : undefined;
  return octets && parseObject(octets);
}

/** The octets, or undefined when this is not how they are spelled. */
export function decode(text: string): Buffer | undefined {
  const octets = Buffer.from(text, 'base64url');
  return octets.toString('base64url') === text ? octets : undefined;
}

/** A JSON object in UTF-8 (RFC 8259, section 8.1), or undefined. */
export function parseObject(octets: Uint8Array): Record<string, unknown> | undefined {
  if (!isUtf8(octets)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
