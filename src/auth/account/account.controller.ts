import { Body, Controller, Get, Header, HttpCode, Post, Put } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '../../common/openapi-decorators.js';
import { ApiBearer, ApiProblem, ApiProblems } from '../../common/openapi.js';
import { CurrentClient, CurrentUser, type Client, type Principal } from '../../common/principal.js';
import { AccountDeletionService } from './account-deletion.service.js';
import { AccountExport, AccountExportService } from './account-export.service.js';
import { Accepted, ChangeEmailBody, ChangePasswordBody, DeleteAccountBody } from '../auth.dto.js';
import { EmailChangeService } from './email-change.service.js';
import { PasswordChangeService } from './password-change.service.js';

const WRONG_PASSWORD = [403, 'wrong_password', 'The current password is wrong.'] as const;
const COUNTED = { note: 'Counts like a failed login.' };

@ApiTags('Users')
@ApiBearer()
@Controller('users/me')
export class AccountController {
  constructor(
    private readonly passwords: PasswordChangeService,
    private readonly emails: EmailChangeService,
    private readonly deletions: AccountDeletionService,
    private readonly exports: AccountExportService,
  ) {}

  @Put('password')
  @HttpCode(204)
  @ApiOperation({ summary: 'Change the password', description: 'Every other session ends, this one goes on.' })
  @ApiNoContentResponse({ description: 'The new password holds.' })
  @ApiProblem(...WRONG_PASSWORD, COUNTED)
  @ApiProblem(422, 'invalid_fields', 'One or more fields are missing, of the wrong type or refused.', {
    note: '`errors` names each: as at sign-up, and `password_reused` for the present password and the four before it.',
    errors: [
      { field: 'new_password', code: 'password_reused', message: 'Choose a password that is not one of your last 5.' },
    ],
  })
  @ApiProblems(400, 401, 413, 415, 503)
  async changePassword(
    @CurrentUser() principal: Principal,
    @Body() { current_password, new_password }: ChangePasswordBody,
    @CurrentClient() client: Client,
  ): Promise<void> {
    await this.passwords.change(principal, current_password, new_password, client);
  }

  @Post('email')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Change the e-mail address',
    description:
      'The new address gets a link, the present one a note. Nothing changes before the link is used, and nothing is said ' +
      'about an address that somebody else has.',
  })
  @ApiAcceptedResponse({ type: Accepted, description: 'The mails are on their way.' })
  @ApiProblem(...WRONG_PASSWORD, COUNTED)
  @ApiProblem(422, 'invalid_fields', 'One or more fields are missing, of the wrong type or refused.', {
    note: '`errors` names each.',
    errors: [{ field: 'new_email', code: 'email_invalid', message: 'Not an e-mail address.' }],
  })
  @ApiProblems(400, 401, 413, 415, 503)
  async changeEmail(
    @CurrentUser() principal: Principal,
    @Body() { current_password, new_email }: ChangeEmailBody,
    @CurrentClient() client: Client,
  ): Promise<Accepted> {
    await this.emails.request(principal, current_password, new_email, client);
    return {};
  }

  @Get('export')
  @Header('Content-Disposition', 'attachment; filename="account.json"')
  @ApiOperation({ operationId: 'exportAccount', summary: 'Everything that is held about the caller' })
  @ApiOkResponse({
    type: AccountExport,
    description: 'As a file.',
    headers: { 'Content-Disposition': { description: '`attachment`', schema: { type: 'string' } } },
  })
  @ApiProblems(401, 503)
  export(@CurrentUser() principal: Principal, @CurrentClient() client: Client): Promise<AccountExport> {
    return this.exports.export(principal, client);
  }

  @Post('deletion')
  @HttpCode(204)
  @ApiOperation({
    operationId: 'deleteAccount',
    summary: 'Delete the account',
    description:
      'From here on nobody can log in to it, its sessions have ended and its address is free. The personal data goes at ' +
      'once, or after the days that the operator has set.',
  })
  @ApiNoContentResponse({ description: 'The account is deleted.' })
  @ApiProblem(...WRONG_PASSWORD, COUNTED)
  @ApiProblems(400, 401, 413, 415, 422, 503)
  async delete(
    @CurrentUser() principal: Principal,
    @Body() { current_password }: DeleteAccountBody,
    @CurrentClient() client: Client,
  ): Promise<void> {
    await this.deletions.deleteOwn(principal, current_password, client);
  }
}
