import { describe, expect, test } from 'vitest';
import { MalformedRequest } from '../../../src/common/domain-error.js';
import { parseJsonObject } from '../../../src/common/json-body.js';

const parse = (text: string | Buffer) => parseJsonObject(Buffer.from(text as string));

test('an object comes through as it is', () => {
  const text = '{"a":"x:{}[],\\"","b":[{"a":1},{"a":2}],"c":{"a":null}}';
  expect(parse(text)).toEqual(JSON.parse(text));
});

// Proves ASVS 15.3.6, ASVS 15.3.7, ASVS 1.5.3: a key that comes twice, or would change an object’s prototype, is refused
describe('refused', () => {
  test.each([
    ['not JSON', '{"password":"violet kettle gravel"', 'not_json'],
    ['nothing', '', 'not_json'],
    ['an array', '[]', 'not_an_object'],
    ['null', 'null', 'not_an_object'],
    ['a string', '"x"', 'not_an_object'],
    ['a duplicate key', '{"email":"a","email":"b"}', 'duplicate_key'],
    ['a duplicate key in another spelling', '{"email":"a","\\u0065mail":"b"}', 'duplicate_key'],
    ['a duplicate key further in', '{"a":{"b":1,"b":2}}', 'duplicate_key'],
    ['__proto__', '{"__proto__":{}}', 'forbidden_key'],
    ['__proto__ in another spelling', '{"\\u005f_proto__":{}}', 'forbidden_key'],
    ['constructor further in', '{"a":{"constructor":{"prototype":{}}}}', 'forbidden_key'],
    ['a byte-order mark', '\ufeff{}', 'not_json'],
    ['a single quote', "{'a':1}", 'not_json'],
  ])('%s', (_, text, detail) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ detail }));
  });

  test('bytes that are not UTF-8', () => {
    const body = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    expect(() => parseJsonObject(body)).toThrow(expect.objectContaining({ detail: 'not_utf8' }));
  });

  // Proves ASVS 16.5.1: no input gives a 500, and nothing sent comes back
  test('and nothing of the body is in the error', () => {
    const error = catchError(() => parse('{"password":"canary-kettle'));
    expect(error).toBeInstanceOf(MalformedRequest);
    expect(JSON.stringify({ ...error, message: error.message, stack: error.stack })).not.toContain('canary-kettle');
  });
});

function catchError(work: () => unknown): MalformedRequest {
  try {
    work();
  } catch (error) {
    return error as MalformedRequest;
  }
  throw new Error('nothing was thrown');
}
