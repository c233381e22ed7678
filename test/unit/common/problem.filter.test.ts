import { expect, test } from 'vitest';
import { toDomainError } from '../../../src/common/problem.filter.js';

const reset = () => Object.assign(new Error('aborted'), { code: 'ECONNRESET' });

test('a lost connection is the database’s, unless Fastify has said that it was the client’s', () => {
  expect(toDomainError(reset())).toMatchObject({ code: 'unavailable', detail: 'database' });
  expect(toDomainError(Object.assign(reset(), { statusCode: 400 }))).toMatchObject({
    code: 'malformed_request',
    detail: 'framework_400',
  });
});
