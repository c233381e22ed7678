import { Body, Controller, HttpCode, Post, Req, UseFilters, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import type { FastifyRequest } from 'fastify';
import { ApiProblem, ApiProblems, NO_STORE } from '../common/openapi.js';
import { CurrentClient, Public, type Client } from '../common/principal.js';
import { RateLimited } from '../limits/rate-limit.guard.js';
import { clientBlock } from '../limits/client-block.js';
import { RateLimits } from '../limits/rate-limits.js';
import { LoginAnswer, LoginBody, RefreshBody, TokenAnswer } from './auth.dto.js';
import { BreachNoticeService } from './breach-notice.service.js';
import { LoginBudgetFilter } from './login-budget.filter.js';
import { LoginGuard } from './login.guard.js';
import type { Authenticated } from './login.service.js';
import { RefreshService } from './refresh.service.js';
import { SessionService } from './session.service.js';

@ApiTags('Auth')
@Controller('auth')
export class LoginController {
  constructor(
    private readonly sessions: SessionService,
    private readonly refreshes: RefreshService,
    private readonly limits: RateLimits,
    private readonly breachNotices: BreachNoticeService,
  ) {}

  @Public()
  @UseGuards(LoginGuard)
  @UseFilters(LoginBudgetFilter)
  @RateLimited('login')
  @Post('login')
  @HttpCode(200)
  @ApiOperation({ summary: 'Log in: opens a session' })
  @ApiOkResponse({ type: LoginAnswer, description: 'A session is open.', headers: NO_STORE })
  @ApiProblem(401, 'invalid_credentials', 'The e-mail address or the password is wrong.')
  @ApiProblem(403, 'account_disabled', 'This account is disabled. Ask the support of the service.', {
    note: 'After the right password only. Or `email_not_verified`: the link that was sent has not been opened yet.',
  })
  @ApiProblems(400, 413, 415, 422, 429, 503)
  async login(
    @Body() { password }: LoginBody,
    @Req() request: FastifyRequest,
    @CurrentClient() client: Client,
  ): Promise<LoginAnswer> {
    const authenticated = request.user as Authenticated;
    const { deviceToken, ...tokens } = await this.sessions.open(authenticated, client);
    this.breachNotices.lookInto(authenticated.user, password);
    await this.limits.giveBack('login', clientBlock(client.ip));
    return { ...TokenAnswer.of(tokens), device_token: deviceToken };
  }

  @Public()
  @RateLimited('refresh')
  @Post('refresh')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Exchange a refresh token for its successor and a new access token',
    description:
      'A retry within the leeway (10 s by default) gets the same successor. A token that was replaced earlier ends the session.',
  })
  @ApiOkResponse({ type: TokenAnswer, description: 'Use these from now on.', headers: NO_STORE })
  @ApiProblem(401, 'invalid_refresh_token', 'The refresh token is expired, used, ended or not ours. Log in again.')
  @ApiProblems(400, 413, 415, 422, 429, 503)
  async refresh(@Body() body: RefreshBody, @CurrentClient() client: Client): Promise<TokenAnswer> {
    return TokenAnswer.of(await this.refreshes.refresh(body.refresh_token, client));
  }
}
