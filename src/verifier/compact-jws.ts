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
  if (!COMPACT.test(text)) return undefined;
  const first = text.indexOf('.');
  const second = text.lastIndexOf('.');
  const header = decode(text.slice(0, first));
  const payload = decode(text.slice(first + 1, second));
  const signature = decode(text.slice(second + 1));
  const members = header && parseObject(header);
  if (!members || !payload || !signature) return undefined;
  return { header: members, payload, input: Buffer.from(text.slice(0, second), 'latin1'), signature };
}

/** The octets, or undefined when this is not how they are spelled. */
export function decode(text: string): Buffer | undefined {
  const octets = Buffer.from(text, 'base64url');
  return octets.toString('base64url') === text ? octets : undefined;
}

/** A JSON object, or undefined. */
export function parseObject(octets: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
