import { applyDecorators } from '@nestjs/common';
import type { OpenAPIObject } from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';
import { ApiBearerAuth, ApiResponse } from './openapi-decorators.js';

/** The errors that more than one route answers with. A route's own go to `ApiProblem`. */
const SHARED = {
  400: ['malformed_body', 'The body is not a JSON object with unique keys, in UTF-8.'],
  401: ['invalid_token', 'The access token is missing, expired, revoked or not valid here.'],
  404: ['not_found', 'There is nothing here.'],
  413: ['body_too_large', 'The body is larger than 16 KiB.'],
  415: ['unsupported_media_type', 'Send the body as application/json, UTF-8, not compressed.'],
  422: ['invalid_fields', 'One or more fields are missing, of the wrong type or refused.'],
  429: ['too_many_requests', 'Too many requests from your address. Try again later.'],
  503: ['unavailable', 'The service cannot answer right now. Try again shortly.'],
} as const;

/** What any route may answer with, whatever it does. */
const EVERYWHERE: Record<string, ReturnType<typeof problemResponse>> = {
  400: problemResponse(400, 'malformed_request', 'The request cannot be read.'),
  500: problemResponse(
    500,
    'internal_error',
    'Something went wrong on our side. Quote the request id when you report it.',
  ),
  503: problemResponse(503, ...SHARED[503]),
};

type Headers = Record<string, { description: string; schema: { type: 'string' } }>;

/** For the answers that hold a secret. */
export const NO_STORE: Headers = { 'Cache-Control': { description: '`no-store`', schema: { type: 'string' } } };

/** One problem a route answers with. `message` is what the client reads in `detail`. */
export function ApiProblem(status: number, code: string, message: string, options: ProblemOptions = {}) {
  return ApiResponse({ status, ...problemResponse(status, code, message, options) });
}

interface ProblemOptions {
  /** Said in the document only. */
  note?: string;
  errors?: { field: string; code: string; message: string }[];
}

function problemResponse(status: number, code: string, message: string, { note, errors }: ProblemOptions = {}) {
  const example = {
    type: `urn:gatehouse:error:${code}`,
    title: STATUS_CODES[status],
    status,
    detail: message,
    code,
    request_id: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51',
    ...(errors && { errors }),
  };
  const schema = { $ref: '#/components/schemas/Problem' };
  const headers = headersOf(status, code);
  return {
    description: [`\`${code}\`: ${message}`, note].filter(Boolean).join(' '),
    ...(headers && { headers }),
    content: { 'application/problem+json': { schema, example } },
  };
}

function headersOf(status: number, code: string): Headers | undefined {
  // Swagger UI shows a header's description and not its example.
  const header = (description: string) => ({ description, schema: { type: 'string' as const } });
  const error = code === 'invalid_token' ? `, error="${code}"` : '';
  if (status === 401) return { 'WWW-Authenticate': header(`\`Bearer realm="gatehouse"${error}\``) };
  if (status === 429) {
    return {
      'Retry-After': header('Seconds.'),
      'RateLimit-Policy': header('`"<policy>";q=<uses>;w=<seconds>`, of your address.'),
      RateLimit: header('`"<policy>";r=<uses left>;t=<seconds until there are more>`.'),
    };
  }
  return status === 503 ? { 'Retry-After': header('Seconds.') } : undefined;
}

/** The shared problems of a route, by status. */
export function ApiProblems(...statuses: (keyof typeof SHARED)[]) {
  return applyDecorators(
    ...statuses.map((status) => {
      const [code, message] = SHARED[status];
      if (status === 404) return ApiProblem(status, code, message, { note: 'No such thing, or not yours.' });
      if (status !== 422) return ApiProblem(status, code, message);
      const errors = [
        { field: 'body', code: 'unknown_field', message: 'The body has a field that is not known here.' },
      ];
      return ApiProblem(status, code, message, { note: '`errors` names each.', errors });
    }),
  );
}

/** Adds to the scanned document what no decorator says, and takes out what no client can use. */
export function completeDocument(document: OpenAPIObject): OpenAPIObject {
  const schemas = { ...document.components?.schemas };
  const isEmpty = ($ref: string) => {
    const schema = schemas[$ref.split('/').at(-1) as string];
    return schema && 'properties' in schema && Object.keys(schema.properties ?? {}).length === 0;
  };
  const unused = new Set<string>();
  for (const operation of Object.values(document.paths).flatMap((path) => [
    path.get,
    path.post,
    path.put,
    path.delete,
  ])) {
    if (!operation) continue;
    // A body without fields is declared so that a field in it is refused. Described, it would read as one that is due.
    const body = operation.requestBody && 'content' in operation.requestBody ? operation.requestBody : undefined;
    const schema = body?.content['application/json']?.schema;
    if (schema && '$ref' in schema && isEmpty(schema.$ref)) {
      delete operation.requestBody;
      unused.add(schema.$ref.split('/').at(-1) as string);
    }
    for (const [status, response] of Object.entries(EVERYWHERE)) {
      const known = (operation.responses[status] ??= response);
      if ('content' in known && known.content) {
        known.content['application/problem+json'] ??= response.content['application/problem+json'];
      }
    }
  }
  for (const name of unused) delete schemas[name];
  return { ...document, components: { ...document.components, schemas: { ...schemas, Problem: PROBLEM_SCHEMA } } };
}

/** The 422 of the routes that take the token of a mailed link. @param note what else it may be. */
export const ApiInvalidLink = (note: string) =>
  ApiProblem(
    422,
    'invalid_or_expired_token',
    'The link was used, replaced by a newer one, or is too old. Ask for a new one.',
    { note },
  );

/** The route needs a bearer token. */
export const ApiBearer = () => ApiBearerAuth('bearer');

/** RFC 9457, as every error is sent. Put into the document by hand: no controller returns it. */
const PROBLEM_SCHEMA = {
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
