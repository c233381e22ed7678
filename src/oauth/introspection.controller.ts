import { Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ApiOkResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import { CurrentClient, Public, type Client } from '../common/principal.js';
import { RevocationLookup } from '../tokens/revocation-lookup.js';
import { CallingClient, ClientGuard, Parameter } from './client.guard.js';
import { IntrospectionBudget } from './introspection-budget.js';
import { IntrospectionService, type Introspection } from './introspection.service.js';
import { ApiClient, ApiForm, ApiOAuthErrors, TOKEN, TOKEN_HINT } from './oauth.openapi.js';
import { InvalidRequest } from './oauth.errors.js';
import type { ServiceClient } from './service-client.entity.js';

@ApiTags('Integration')
@ApiClient()
@Controller('oauth')
export class IntrospectionController {
  constructor(
    private readonly introspections: IntrospectionService,
    private readonly budget: IntrospectionBudget,
    private readonly revocations: RevocationLookup,
  ) {}

  @Public()
  @UseGuards(ClientGuard)
  @Post('introspect')
  @HttpCode(200)
  @ApiOperation({
    summary: 'What a token is worth now (RFC 7662)',
    description:
      'For access and refresh tokens; `token_type` tells which it is. Whatever is not active for this client (expired, ' +
      'revoked, for another audience, not a token) is exactly `{"active":false}`.',
  })
  @ApiForm({ token: TOKEN, token_type_hint: TOKEN_HINT }, ['token'])
  @ApiOkResponse({
    description: 'Active or not.',
    schema: {
      type: 'object',
      required: ['active'],
      properties: {
        active: { type: 'boolean' },
        token_type: { type: 'string', enum: ['Bearer', 'refresh_token'] },
        iss: { type: 'string' },
        aud: { type: 'string' },
        sub: { type: 'string', format: 'uuid' },
        client_id: { type: 'string' },
        sid: { type: 'string', format: 'uuid' },
        jti: { type: 'string', format: 'uuid' },
        iat: { type: 'integer' },
        exp: { type: 'integer' },
        auth_time: { type: 'integer' },
      },
    },
  })
  @ApiOAuthErrors(400, 401, 429, 503)
  async introspect(
    @Parameter('token') token: string | undefined,
    @CallingClient() client: ServiceClient,
    @CurrentClient() from: Client,
    @Req() { raw }: FastifyRequest,
  ): Promise<Introspection> {
    if (token === undefined) throw new InvalidRequest('The parameter token is missing.');
    await this.budget.use(client, from);
    return this.introspections.introspect(token, client, this.revocations.handedOver.take(raw));
  }
}
