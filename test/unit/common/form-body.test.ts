import { expect, test } from 'vitest';
import { parseForm } from '../../../src/common/form-body.js';

const parse = (text: string) => parseForm(Buffer.from(text, 'latin1'));

test('a form is its parameters, decoded', () => {
  expect(parse('token=a%2Bb+c&hint=%C3%A9&empty=&bare')).toEqual({ token: 'a+b c', hint: 'é', empty: '', bare: '' });
  expect(parse('')).toEqual({});
  expect(Object.keys(parse('__proto__=x&constructor=y'))).toEqual(['__proto__', 'constructor']);
});

// Proves ours (Input): a parameter that is sent twice is an error
test('a parameter that comes twice, and what is no form, is refused', () => {
  for (const text of ['a=1&a=2', 'a&a', '%61=1&a=2', 'a=%', 'a=%zz', 'a=%ff', 'a=\xff', '%c0%80=1']) {
    expect(() => parse(text), text).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  }
});
