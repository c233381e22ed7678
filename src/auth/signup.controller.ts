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
  @ApiCreatedResponse({ type: SignupAnswer })
  @ApiProblem(409, 'email_taken', 'There is an account with this e-mail address already.')
  @ApiProblems(400, 413, 415, 422, 503)
  async signUp(@Body() { email, password }: SignupBody): Promise<SignupAnswer> {
    const user = await this.signup.signUp(email, password);
    return { id: user.id, email: user.email, created_at: user.createdAt.toISOString() };
  }
}
