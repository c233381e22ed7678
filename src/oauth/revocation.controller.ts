import { Controller, HttpCode, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import { CurrentClient, Public, type Client } from '../common/principal.js';
import { CallingClient, ClientGuard, Parameter } from './client.guard.js';
import { InvalidRequest } from './oauth.errors.js';
import { ApiClient, ApiForm, ApiOAuthErrors, TOKEN, TOKEN_HINT } from './oauth.openapi.js';
import type { ServiceClient } from './service-client.entity.js';
import { TokenRevocationService } from './token-revocation.service.js';

@ApiTags('Integration')
@ApiClient()
@Controller('oauth')
export class RevocationController {
  constructor(private readonly revocations: TokenRevocationService) {}

  @Public()
  @UseGuards(ClientGuard)
  @Post('revoke')
  @HttpCode(200)
  @ApiOperation({
    summary: 'End the session of a token (RFC 7009)',
    description:
      'Of an access or a refresh token: the session ends with all its tokens. A token that is unknown, has ended or is for ' +
      'another audience than the client’s has the same answer, and nothing happens.',
  })
  @ApiForm({ token: TOKEN, token_type_hint: TOKEN_HINT }, ['token'])
  @ApiOkResponse({ description: 'The token is worth nothing now, as far as it is this client’s business. No body.' })
  @ApiOAuthErrors(400, 401, 429, 503)
  async revoke(
    @Parameter('token') token: string | undefined,
    @CallingClient() client: ServiceClient,
    @CurrentClient() from: Client,
  ): Promise<void> {
    if (token === undefined) throw new InvalidRequest('The parameter token is missing.');
    await this.revocations.revoke(token, client, from);
  }
}
