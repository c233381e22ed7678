import { describe, expect, test } from 'vitest';
import { BadLine, hashProblem, parseImportLine } from '../../../../src/auth/account/user-import-line.js';

const NOW = new Date('2026-03-01T12:00:00Z');
const HASH = `$2b$10$${'a'.repeat(53)}`;
const GOOD = {
  email: 'Ada@Example.com',
  password_hash: HASH,
  email_verified: true,
  created_at: '2020-02-29T23:59:59.5+01:00',
};

const parse = (text: string | Buffer | null) =>
  parseImportLine(typeof text === 'string' ? Buffer.from(text) : text, NOW);
const parseFields = (fields: object) => parse(JSON.stringify(fields));
const without = (name: keyof typeof GOOD) => Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name));

/** The reason why a line is refused. */
function reasonOf(parsing: () => unknown): string {
  try {
    parsing();
  } catch (error) {
    expect(error).toBeInstanceOf(BadLine);
    return (error as BadLine).message;
  }
  throw new Error('It was not refused.');
}

test('a good line', () => {
  expect(parseFields(GOOD)).toEqual({
    email: 'Ada@Example.com',
    emailCanonical: 'ada@example.com',
    passwordHash: HASH,
    emailVerified: true,
    createdAt: new Date('2020-02-29T22:59:59.500Z'),
  });
});

test.each<[string, string | Buffer | null]>([
  ['longer than 16384 bytes', null],
  ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
  ['not JSON', '{"email":'],
  ['not JSON', '\ufeff{}'],
  ['no JSON object', '["ada@example.com"]'],
  ['no JSON object', 'null'],
  ['a field is there twice', `${JSON.stringify(GOOD).slice(0, -1)},"email":"eve@example.com"}`],
  ['a field is there twice', `${JSON.stringify(GOOD).slice(0, -1)},"em\\u0061il":"eve@example.com"}`],
  ['an unknown field', '{"__proto__":1}'],
])('%s', (reason, line) => {
  expect(reasonOf(() => parse(line))).toBe(reason);
});

// Proves ASVS 2.2.1, ASVS 2.2.2, ASVS 15.3.3, ASVS 15.3.5: input has the fields that are known, of the right type, and no others
test('a missing field, one of another type and one too many are named', () => {
  for (const name of ['email', 'password_hash', 'email_verified', 'created_at'] as const) {
    expect(reasonOf(() => parseFields(without(name)))).toBe(`${name} is missing`);
    const type = name === 'email_verified' ? 'boolean' : 'string';
    for (const value of [null, 1, ['x'], { x: 1 }, type === 'string' ? true : 'true']) {
      expect(reasonOf(() => parseFields({ ...GOOD, [name]: value }))).toBe(`${name} is no ${type}`);
    }
  }
  expect(reasonOf(() => parseFields({ ...GOOD, plan: 'x' }))).toBe('plan is no field of ours');
  expect(reasonOf(() => parseFields({ ...GOOD, 'ada@example.com': 'x' }))).toBe('an unknown field');
  expect(reasonOf(() => parseFields({ ...GOOD, toString: 'x' }))).toBe('toString is no field of ours');
});

test.each(['ada', 'ada@localhost', 'ada@example.com ', `${'a'.repeat(65)}@example.com`, ''])(
  'no address: %j',
  (email) => {
    expect(reasonOf(() => parseFields({ ...GOOD, email }))).toBe('email is no address that is accepted');
  },
);

describe('created_at', () => {
  const at = (created_at: string) => parseFields({ ...GOOD, created_at }).createdAt.toISOString();

  test('offsets, fractions and small letters', () => {
    expect(at('1970-01-01T00:00:00Z')).toBe('1970-01-01T00:00:00.000Z');
    expect(at('2024-02-29t10:00:00.123456789z')).toBe('2024-02-29T10:00:00.123Z');
    expect(at('2000-02-29T00:00:00-23:59')).toBe('2000-02-29T23:59:00.000Z');
    expect(at('2026-03-01T12:00:00Z')).toBe(NOW.toISOString());
  });

  test.each([
    '2023-02-29T10:00:00Z',
    '2100-02-29T10:00:00Z',
    '2024-04-31T10:00:00Z',
    '2024-13-01T10:00:00Z',
    '2024-00-01T10:00:00Z',
    '2024-01-00T10:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T10:60:00Z',
    '2024-01-01T10:00:60Z',
    '2024-01-01T10:00:00+24:00',
    '2024-01-01T10:00:00',
    '2024-01-01 10:00:00Z',
    '2024-01-01',
    '1700000000',
    'yesterday',
    '',
  ])('not one: %j', (created_at) => {
    expect(reasonOf(() => at(created_at))).toBe('created_at is no date and time of RFC 3339');
  });

  test('the last instant that is past and the first that is not, and the same at 1970', () => {
    expect(reasonOf(() => at('2026-03-01T12:00:00.001Z'))).toBe('created_at is in the future');
    expect(reasonOf(() => at('1969-12-31T23:59:59.999Z'))).toBe('created_at is before 1970');
    expect(reasonOf(() => at('1970-01-01T00:00:00+00:01'))).toBe('created_at is before 1970');
    expect(reasonOf(() => at('0075-01-01T00:00:00Z'))).toBe('created_at is before 1970');
  });
});

test('a hash is refused for its cost or for what it is', () => {
  expect(hashProblem(`$2b$16$${'a'.repeat(53)}`).message).toBe('password_hash has a cost above 15');
  expect(hashProblem('$argon2id$v=19$m=65536').message).toBe('password_hash is no bcrypt hash');
  expect(hashProblem(`$2b$03$${'a'.repeat(53)}`).message).toBe('password_hash is no bcrypt hash');
});
