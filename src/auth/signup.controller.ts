import { Body, Controller, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblem, ApiProblems } from '../common/openapi.js';
import { Public } from '../common/principal.js';
import { SignupAnswer, SignupBody } from './auth.dto.js';
import { SignupService } from './signup.service.js';

@ApiTags('Auth')
@Controller('auth')
export class SignupController {
  constructor(private readonly signup: SignupService) {}

  @Public()
  @Post('signup')
  @ApiOperation({ summary: 'Make an account' })
  @ApiCreatedResponse({ type: SignupAnswer, description: 'The account. Log in with the same two.' })
  @ApiProblem(409, 'email_taken', 'There is an account with this e-mail address already.')
  @ApiProblem(422, 'invalid_fields', 'One or more fields are missing, of the wrong type or refused.', {
    note:
      '`errors` names each: `required`, `wrong_type`, `unknown_field`, `email_invalid`, `password_too_short`, ' +
      '`password_too_long`, `password_common`, `password_predictable`.',
    errors: [
      { field: 'email', code: 'email_invalid', message: 'Not an e-mail address.' },
      {
        field: 'password',
        code: 'password_too_short',
        message: 'Use at least 15 characters; a few words work well.',
      },
    ],
  })
  @ApiProblems(400, 413, 415, 503)
  async signUp(@Body() { email, password }: SignupBody): Promise<SignupAnswer> {
    const user = await this.signup.signUp(email, password);
    return { id: user.id, email: user.email, created_at: user.createdAt.toISOString() };
  }
}
