import { parseJsonObject } from '../../common/json-body.js';
import { MalformedRequest } from '../../common/domain-error.js';
import { canonicalEmail, type CanonicalEmail } from '../../users/email-address.js';
import { MAX_IMPORTED_COST } from '../password-hasher.js';

/** Longest line of an import, without its end. */
export const MAX_LINE_BYTES = 16_384;

/** An account as another system has written it down. */
export interface ImportedAccount {
  email: string;
  emailCanonical: CanonicalEmail;
  /** Not looked at yet. */
  passwordHash: string;
  emailVerified: boolean;
  createdAt: Date;
}

/** A line that makes no account. The message names the field and the reason, never the value. */
export class BadLine extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BadLine';
  }
}

const TYPES = { email: 'string', password_hash: 'string', email_verified: 'boolean', created_at: 'string' } as const;

const REASONS: Record<string, string> = {
  not_utf8: 'not UTF-8',
  not_json: 'not JSON',
  not_an_object: 'no JSON object',
  duplicate_key: 'a field is there twice',
};

/** RFC 3339, section 5.6. A leap second is no instant for us. */
const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/**
 * Reads a line of an import.
 *
 * @param bytes null for a line that is too long.
 * @param now what lies behind it is in the future.
 * @throws BadLine.
 */
export function parseImportLine(bytes: Buffer | null, now: Date): ImportedAccount {
  if (bytes === null) throw new BadLine(`longer than ${MAX_LINE_BYTES} bytes`);
  const fields = fieldsOf(bytes);
  const email = fields.email;
  const emailCanonical = canonicalEmail(email);
  if (!emailCanonical) throw new BadLine('email is no address that is accepted');
  const createdAt = instantOf(fields.created_at);
  if (!createdAt) throw new BadLine('created_at is no date and time of RFC 3339');
  if (createdAt > now) throw new BadLine('created_at is in the future');
  if (createdAt.getTime() < 0) throw new BadLine('created_at is before 1970');
  return {
    email,
    emailCanonical,
    passwordHash: fields.password_hash,
    emailVerified: fields.email_verified,
    createdAt,
  };
}

/** Why a hash was not taken. */
export function hashProblem(hash: string): BadLine {
  const cost = Number(/^\$2[aby]\$(\d\d)\$/.exec(hash)?.[1]);
  if (cost > MAX_IMPORTED_COST) return new BadLine(`password_hash has a cost above ${MAX_IMPORTED_COST}`);
  return new BadLine('password_hash is no bcrypt hash');
}

interface Fields {
  email: string;
  password_hash: string;
  email_verified: boolean;
  created_at: string;
}

function fieldsOf(bytes: Buffer): Fields {
  const fields = objectOf(bytes);
  for (const [name, type] of Object.entries(TYPES)) {
    if (!Object.hasOwn(fields, name)) throw new BadLine(`${name} is missing`);
    if (typeof fields[name] !== type) throw new BadLine(`${name} is no ${type}`);
  }
  const unknown = Object.keys(fields).find((name) => !Object.hasOwn(TYPES, name));
  if (unknown === undefined) return fields as unknown as Fields;
  // A name may be a value that has slipped; one that looks like a name is worth telling.
  throw new BadLine(/^[a-z][a-z_]{0,31}$/i.test(unknown) ? `${unknown} is no field of ours` : 'an unknown field');
}

function objectOf(bytes: Buffer): Record<string, unknown> {
  try {
    return parseJsonObject(bytes);
  } catch (error) {
    if (!(error instanceof MalformedRequest)) throw error;
    throw new BadLine(REASONS[error.detail ?? ''] ?? 'an unknown field');
  }
}

function instantOf(text: string): Date | undefined {
  const [, year, month, day] = (DATE_TIME.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined) return undefined;
  // Date.parse takes the 30th of February for the 1st of March.
  const lastDay = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const isDay = month >= 1 && month <= 12 && day >= 1 && day <= lastDay;
  return isDay ? new Date(Date.parse(text.toUpperCase())) : undefined;
}
