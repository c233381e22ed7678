import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiAcceptedResponse, ApiNoContentResponse, ApiOperation, ApiTags } from '../../common/openapi-decorators.js';
import { ApiInvalidLink, ApiProblems } from '../../common/openapi.js';
import { CurrentClient, Public, type Client } from '../../common/principal.js';
import { RateLimited } from '../../limits/rate-limit.guard.js';
import { Accepted, EmailBody, LinkTokenBody, VerifyEmailBody } from '../auth.dto.js';
import { EmailChangeService } from './email-change.service.js';
import { EmailVerificationService } from './email-verification.service.js';

@ApiTags('Mail links')
@Public()
@Controller('auth/email')
export class EmailController {
  constructor(
    private readonly verifications: EmailVerificationService,
    private readonly changes: EmailChangeService,
  ) {}

  @Post('verify')
  @HttpCode(204)
  @ApiOperation({
    operationId: 'verifyEmail',
    summary: 'Use the link of a sign-up: the address is the person’s',
    description: 'Good for 24 hours, once. Logs nobody in.',
  })
  @ApiNoContentResponse({ description: 'The address is verified.' })
  @ApiInvalidLink(
    'Or `password_required`: the address was signed up more than once, send `new_password` too; or `invalid_fields`: the ' +
      'policy refuses it. The link stays good then.',
  )
  @ApiProblems(400, 413, 415, 503)
  async verify(@Body() { token, new_password }: VerifyEmailBody, @CurrentClient() client: Client): Promise<void> {
    await this.verifications.verify(token, new_password, client);
  }

  @RateLimited('resend')
  @Post('resend')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'resendVerification',
    summary: 'Send the link of a sign-up again',
    description: 'The same answer whether anything is sent or not. The older link is dead.',
  })
  @ApiAcceptedResponse({ type: Accepted, description: 'If an account waits for it, a mail is on its way.' })
  @ApiProblems(400, 413, 415, 422, 429, 503)
  async resend(@Body() { email }: EmailBody, @CurrentClient() client: Client): Promise<Accepted> {
    await this.verifications.resend(email, client);
    return {};
  }

  @Post('confirm-change')
  @HttpCode(204)
  @ApiOperation({
    operationId: 'confirmEmailChange',
    summary: 'Use the link that a new address got: the account has that address now',
    description: 'Good for 24 hours, once.',
  })
  @ApiNoContentResponse({ description: 'The address has changed.' })
  @ApiInvalidLink('Also when the address has been taken in the meantime.')
  @ApiProblems(400, 413, 415, 503)
  async confirmChange(@Body() { token }: LinkTokenBody, @CurrentClient() client: Client): Promise<void> {
    await this.changes.confirm(token, client);
  }
}
