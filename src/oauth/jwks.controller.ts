import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import { ApiProblems } from '../common/openapi.js';
import { Public } from '../common/principal.js';
import { JWKS_MAX_AGE_SECONDS } from '../tokens/key-life.js';
import type { PublicJwk } from '../tokens/key-vault.js';
import { SigningKeys } from '../tokens/signing-keys.js';

@ApiTags('Integration')
@Controller('.well-known')
export class JwksController {
  constructor(private readonly keys: SigningKeys) {}

  @Public()
  @Get('jwks.json')
  @Header('Content-Type', 'application/jwk-set+json')
  @Header('Cache-Control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`)
  @Header('Access-Control-Allow-Origin', '*')
  @ApiOperation({ summary: 'The public signing keys (RFC 7517)', description: 'May be cached for five minutes.' })
  @ApiOkResponse({
    description: 'A JWK set.',
    content: {
      'application/jwk-set+json': {
        schema: {
          type: 'object',
          required: ['keys'],
          properties: { keys: { type: 'array', items: { type: 'object', additionalProperties: { type: 'string' } } } },
        },
        example: { keys: [{ kty: 'EC', crv: 'P-256', x: '…', y: '…', kid: '…', alg: 'ES256', use: 'sig' }] },
      },
    },
  })
  @ApiProblems(503)
  async jwks(): Promise<{ keys: PublicJwk[] }> {
    return { keys: await this.keys.published() };
  }
}
