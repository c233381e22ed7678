import { applyDecorators } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse } from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';

/** The errors that more than one route answers with. A route's own go to `ApiProblem`. */
const SHARED = {
  400: ['malformed_body', 'The body is not a JSON object with unique keys, or the request cannot be read.'],
  401: ['invalid_token', 'No access token, or one that is expired, revoked or not valid here.'],
  404: ['not_found', 'No such thing, or not yours.'],
  413: ['body_too_large', 'The body is larger than 16 KiB.'],
  415: ['unsupported_media_type', 'The body is not application/json in UTF-8.'],
  422: ['invalid_fields', 'A field is missing, unknown, of the wrong type or refused; `errors` names each.'],
  503: ['unavailable', 'The database does not answer, or too many passwords are being hashed. See `Retry-After`.'],
} as const;

/** One problem a route answers with. */
export function ApiProblem(status: number, code: string, description: string, errors?: object[]) {
  const example = {
    type: `urn:gatehouse:error:${code}`,
    title: STATUS_CODES[status],
    status,
    detail: description,
    code,
    request_id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51',
    ...(errors && { errors }),
  };
  const schema = { $ref: '#/components/schemas/Problem' };
  return ApiResponse({
    status,
    description: `\`${code}\`: ${description}`,
    content: { 'application/problem+json': { schema, example } },
  });
}

/** The shared problems of a route, by status. */
export function ApiProblems(...statuses: (keyof typeof SHARED)[]) {
  return applyDecorators(
    ...statuses.map((status) => {
      const [code, description] = SHARED[status];
      const errors = status === 422 ? [{ field: 'password', code: 'required', message: 'Is missing.' }] : undefined;
      return ApiProblem(status, code, description, errors);
    }),
  );
}

/** The route needs a bearer token. */
export const ApiBearer = () => ApiBearerAuth('bearer');

/** RFC 9457, as every error is sent. Put into the document by hand: no controller returns it. */
export const PROBLEM_SCHEMA = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Stable; decide on this.' },
    request_id: { type: 'string', format: 'uuid', description: 'Also in the X-Request-Id header and in our log.' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['field', 'code', 'message'],
        properties: {
          field: { type: 'string', description: '`body` for a field that is not known here.' },
          code: { type: 'string' },
          message: { type: 'string' },
        },
      },
    },
  },
};
