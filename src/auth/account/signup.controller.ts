import { Body, Controller, Post, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiCreatedResponse, ApiOperation, ApiTags } from '../../common/openapi-decorators.js';
import type { FastifyReply } from 'fastify';
import { ApiProblem, ApiProblems } from '../../common/openapi.js';
import { CurrentClient, Public, type Client } from '../../common/principal.js';
import { RateLimited } from '../../limits/rate-limit.guard.js';
import { Config } from '../../config/config.js';
import { Accepted, SignupAnswer, SignupBody } from '../auth.dto.js';
import { SignupService } from './signup.service.js';

@ApiTags('Auth')
@Controller('auth')
export class SignupController {
  constructor(
    private readonly config: Config,
    private readonly signup: SignupService,
  ) {}

  @Public()
  @RateLimited('signup')
  @Post('signup')
  @ApiOperation({
    summary: 'Make an account',
    description:
      'With `EMAIL_VERIFICATION=none`: 201 and the account, or 409. With `required`: always 202, whoever has an account; ' +
      'the address gets a link to confirm itself, or a note that it has an account already.',
  })
  @ApiCreatedResponse({ type: SignupAnswer, description: 'The account. Log in with the same two.' })
  @ApiAcceptedResponse({ type: Accepted, description: 'A mail is on its way.' })
  @ApiProblem(409, 'email_taken', 'There is an account with this e-mail address already.')
  @ApiProblem(422, 'invalid_fields', 'One or more fields are missing, of the wrong type or refused.', {
    note:
      '`errors` names each: `required`, `wrong_type`, `unknown_field`, `email_invalid`, `password_too_short`, ' +
      '`password_too_long`, `password_common`, `password_predictable`, `password_breached`.',
    errors: [
      { field: 'email', code: 'email_invalid', message: 'Not an e-mail address.' },
      {
        field: 'password',
        code: 'password_too_short',
        message: 'Use at least 15 characters; a few words work well.',
      },
    ],
  })
  @ApiProblems(400, 413, 415, 429, 503)
  async signUp(
    @Body() { email, password }: SignupBody,
    @CurrentClient() client: Client,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SignupAnswer | Accepted> {
    if (this.config.emailVerification === 'required') {
      await this.signup.request(email, password, client);
      void reply.status(202);
      return {};
    }
    const user = await this.signup.signUp(email, password, client);
    return { id: user.id, email: user.email, created_at: user.createdAt.toISOString() };
  }
}
