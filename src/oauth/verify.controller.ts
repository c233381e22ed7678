import { Controller, Get, HttpCode, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import type { FastifyReply } from 'fastify';
import { ApiBearer, ApiProblems } from '../common/openapi.js';
import { CurrentUser, type Principal } from '../common/principal.js';

const header = (description: string) => ({ description, schema: { type: 'string' as const, format: 'uuid' } });

@ApiTags('Integration')
@ApiBearer()
@Controller('auth')
export class VerifyController {
  @Get('verify')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Whether a token is good now: for nginx `auth_request` and its like',
    description:
      'The check that every route of ours makes. The proxy passes the two headers on, and takes them out of what clients ' +
      'send: docs/integrate.md.',
  })
  @ApiNoContentResponse({
    description: 'It is.',
    headers: { 'X-User-Id': header('The `sub` of the token.'), 'X-Session-Id': header('Its `sid`.') },
  })
  @ApiProblems(401, 503)
  verify(@CurrentUser() { userId, sessionId }: Principal, @Res({ passthrough: true }) reply: FastifyReply): void {
    reply.header('X-User-Id', userId).header('X-Session-Id', sessionId);
  }
}
