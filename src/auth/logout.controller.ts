import { Body, Controller, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiNoContentResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiBearer, ApiProblem, ApiProblems } from '../common/openapi.js';
import { CurrentClient, CurrentUser, Public, type Client, type Principal } from '../common/principal.js';
import { bearerToken } from '../tokens/bearer.guard.js';
import { RevocationFeed } from '../tokens/revocation-feed.js';
import { LogoutBody, NoBody, REFRESH_TOKEN } from './auth.dto.js';
import { LogoutService } from './logout.service.js';
import { SessionService } from './session.service.js';

const REVOCATION_CURSOR = {
  'Revocation-Cursor': {
    description:
      'Send it as `Min-Revocation-Cursor` with the next request to a service that verifies our tokens by itself: it then ' +
      'knows of this logout before it decides.',
    schema: { type: 'string' as const },
  },
};

@ApiTags('Auth')
@ApiBearer()
@Controller('auth')
export class LogoutController {
  constructor(
    private readonly logouts: LogoutService,
    private readonly sessions: SessionService,
    private readonly feed: RevocationFeed,
  ) {}

  /** Public, because a token that the bearer guard refuses is still good enough to log out with. */
  @Public()
  @Post('logout')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Log out: end this session, everywhere, at once',
    description:
      'With the bearer token, or with the refresh token in the body; the bearer token wins. Works with an expired or ' +
      'revoked token too: a second logout has the same answer.',
  })
  @ApiBody({
    type: LogoutBody,
    required: false,
    examples: {
      bearer: { summary: 'With the bearer token', value: {} },
      refresh_token: {
        summary: 'With the refresh token, when the bearer token is lost',
        value: { refresh_token: REFRESH_TOKEN.example },
      },
    },
  })
  @ApiNoContentResponse({
    description: 'The session has ended. Its tokens are refused by every instance.',
    headers: REVOCATION_CURSOR,
  })
  @ApiProblem(401, 'invalid_token', 'The access token is missing, expired, revoked or not valid here.', {
    note: 'Here only when it is missing or was never ours; for the body, `invalid_refresh_token`.',
  })
  @ApiProblems(400, 413, 415, 422, 503)
  async logout(
    @Req() request: FastifyRequest,
    @Body() { refresh_token }: LogoutBody,
    @CurrentClient() client: Client,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const byBody = refresh_token !== undefined && !/^Bearer /i.test(request.headers.authorization ?? '');
    await (byBody
      ? this.logouts.byRefreshToken(refresh_token, client)
      : this.logouts.byAccessToken(bearerToken(request), client));
    await this.tellCursor(reply);
  }

  @Post('logout-all')
  @HttpCode(204)
  @ApiOperation({ summary: 'End every session of the caller' })
  @ApiNoContentResponse({ description: 'All sessions have ended, this one included.', headers: REVOCATION_CURSOR })
  @ApiProblems(400, 401, 413, 415, 422, 503)
  async logoutAll(
    @CurrentUser() principal: Principal,
    @Body() _: NoBody,
    @CurrentClient() client: Client,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    await this.sessions.endAll(principal, client);
    await this.tellCursor(reply);
  }

  /** The sessions have ended whatever comes of this: without a database for the moment there is no cursor, and still a 204. */
  private async tellCursor(reply: FastifyReply): Promise<void> {
    const cursor = await this.feed.cursor().catch(() => undefined);
    if (cursor !== undefined) reply.header('Revocation-Cursor', cursor);
  }
}
