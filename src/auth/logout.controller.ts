import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiBearer, ApiProblem, ApiProblems } from '../common/openapi.js';
import { CurrentClient, CurrentUser, Public, type Client, type Principal } from '../common/principal.js';
import { bearerToken } from '../tokens/bearer.guard.js';
import { LogoutBody, NoBody, REFRESH_TOKEN } from './auth.dto.js';
import { LogoutService } from './logout.service.js';
import { SessionService } from './session.service.js';

@ApiTags('Auth')
@ApiBearer()
@Controller('auth')
export class LogoutController {
  constructor(
    private readonly logouts: LogoutService,
    private readonly sessions: SessionService,
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
  @ApiNoContentResponse({ description: 'The session has ended. Its tokens are refused by every instance.' })
  @ApiProblem(401, 'invalid_token', 'The access token is missing, expired, revoked or not valid here.', {
    note: 'Here only when it is missing or was never ours; for the body, `invalid_refresh_token`.',
  })
  @ApiProblems(400, 413, 415, 422, 503)
  async logout(
    @Req() request: FastifyRequest,
    @Body() { refresh_token }: LogoutBody,
    @CurrentClient() client: Client,
  ): Promise<void> {
    const byBody = refresh_token !== undefined && !/^Bearer /i.test(request.headers.authorization ?? '');
    await (byBody
      ? this.logouts.byRefreshToken(refresh_token, client)
      : this.logouts.byAccessToken(bearerToken(request), client));
  }

  @Post('logout-all')
  @HttpCode(204)
  @ApiOperation({ summary: 'End every session of the caller' })
  @ApiNoContentResponse({ description: 'All sessions have ended, this one included.' })
  @ApiProblems(400, 401, 413, 415, 422, 503)
  async logoutAll(
    @CurrentUser() principal: Principal,
    @Body() _: NoBody,
    @CurrentClient() client: Client,
  ): Promise<void> {
    await this.sessions.endAll(principal, client);
  }
}
