import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiAcceptedResponse, ApiNoContentResponse, ApiOperation, ApiTags } from '../../common/openapi-decorators.js';
import { ApiInvalidLink, ApiProblems } from '../../common/openapi.js';
import { CurrentClient, Public, type Client } from '../../common/principal.js';
import { RateLimited } from '../../limits/rate-limit.guard.js';
import { Accepted, EmailBody, ResetPasswordBody } from '../auth.dto.js';
import { PasswordResetService } from './password-reset.service.js';

@ApiTags('Mail links')
@Public()
@Controller('auth/password')
export class PasswordController {
  constructor(private readonly resets: PasswordResetService) {}

  @RateLimited('forgot')
  @Post('forgot')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'forgotPassword',
    summary: 'Ask for a link to set a new password',
    description: 'The same answer, in the same time, whether there is an account or not.',
  })
  @ApiAcceptedResponse({ type: Accepted, description: 'If there is an account, a mail is on its way.' })
  @ApiProblems(400, 413, 415, 422, 429, 503)
  async forgot(@Body() { email }: EmailBody, @CurrentClient() client: Client): Promise<Accepted> {
    await this.resets.request(email, client);
    return {};
  }

  @Post('reset')
  @HttpCode(204)
  @ApiOperation({
    operationId: 'resetPassword',
    summary: 'Use the link to set a new password',
    description:
      'Good for 30 minutes, once; dead as soon as a newer one was asked for or the password has changed. Ends every session, ' +
      'lifts a lock, verifies the address, and logs nobody in.',
  })
  @ApiNoContentResponse({ description: 'The password is set. Log in with it.' })
  @ApiInvalidLink('Or `invalid_fields`: the policy refuses the password. The link stays good then.')
  @ApiProblems(400, 413, 415, 503)
  async reset(@Body() { token, new_password }: ResetPasswordBody, @CurrentClient() client: Client): Promise<void> {
    await this.resets.reset(token, new_password, client);
  }
}
