import { applyDecorators } from '@nestjs/common';
import { ApiBasicAuth, ApiBody, ApiConsumes, ApiExtension, ApiResponse } from '../common/openapi-decorators.js';
import { JWT_BEARER } from './client-credentials.js';

interface ParameterSchema {
  type: 'string';
  description: string;
  example?: string;
}

export const TOKEN: ParameterSchema = { type: 'string', description: 'An access token or a refresh token.' };
export const TOKEN_HINT: ParameterSchema = {
  type: 'string',
  description: '`access_token` or `refresh_token`. Ignored: a token shows which it is.',
};

/** The parameters of a client that signs its requests (RFC 7523). */
export const ASSERTION: Record<string, ParameterSchema> = {
  client_assertion_type: { type: 'string', description: `Instead of Basic: \`${JWT_BEARER}\`.` },
  client_assertion: {
    type: 'string',
    description:
      'A JWT, signed with a key of the client: `iss` and `sub` its id, `aud` the issuer, `exp` at most five minutes ahead, ' +
      '`jti` used once.',
  },
};

/** The route needs a registered service: `client_secret_basic` or `private_key_jwt`. */
export const ApiClient = () => ApiBasicAuth('client');

/** A body as `application/x-www-form-urlencoded`. */
export function ApiForm(properties: Record<string, ParameterSchema>, required: string[]) {
  return applyDecorators(
    ApiConsumes('application/x-www-form-urlencoded'),
    ApiBody({ schema: { type: 'object', required, properties: { ...properties, ...ASSERTION } } }),
  );
}

const ERRORS = {
  400: ['invalid_request', 'A parameter is missing, sent twice or cannot be read.'],
  401: ['invalid_client', 'Client authentication failed.'],
  429: ['temporarily_unavailable', 'The budget of the client, or of failures of its address, is spent.'],
  503: ['temporarily_unavailable', 'The database does not answer: never a yes and never a no.'],
} as const;

/** The errors of a route, as OAuth has them (RFC 6749, section 5.2). */
export function ApiOAuthErrors(...statuses: (keyof typeof ERRORS)[]) {
  return applyDecorators(
    ...statuses.map((status) => {
      const [error, description] = ERRORS[status];
      return ApiResponse({
        status,
        description: `\`${error}\`: ${description}`,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              required: ['error', 'error_description'],
              properties: { error: { type: 'string' }, error_description: { type: 'string' } },
            },
            example: { error, error_description: description },
          },
        },
      });
    }),
    ApiExtension('x-oauth-errors', true),
  );
}
