import { Body, Controller, Delete, Get, HttpCode, Param } from '@nestjs/common';
import {
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiTags,
} from '../common/openapi-decorators.js';
import { ApiBearer, ApiProblems } from '../common/openapi.js';
import { CurrentClient, CurrentUser, type Client, type Principal } from '../common/principal.js';
import { NoBody } from './auth.dto.js';
import { SessionService } from './session.service.js';

class SessionView {
  @ApiProperty({ format: 'uuid', example: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51' })
  id!: string;

  @ApiProperty({ format: 'date-time', description: 'The login.' })
  created_at!: string;

  @ApiProperty({ format: 'date-time', description: 'The login or the last refresh.' })
  last_used_at!: string;

  @ApiProperty({ format: 'date-time', description: 'When it ends unless it is refreshed.' })
  expires_at!: string;

  @ApiProperty({ example: '203.0.113.7', description: 'Address of the login.' })
  ip!: string;

  @ApiProperty({ type: String, nullable: true, example: 'Mozilla/5.0 …' })
  user_agent!: string | null;

  @ApiProperty({ description: 'Whether the request came with a token of this session.' })
  current!: boolean;
}

class SessionList {
  @ApiProperty({ type: [SessionView] })
  sessions!: SessionView[];
}

@ApiTags('Auth')
@ApiBearer()
@Controller('auth/sessions')
export class SessionsController {
  constructor(private readonly sessions: SessionService) {}

  @Get()
  @ApiOperation({ operationId: 'listSessions', summary: 'The live sessions of the caller, newest first' })
  @ApiOkResponse({ type: SessionList, description: 'At least the session of the token.' })
  @ApiProblems(401, 503)
  async list(@CurrentUser() principal: Principal): Promise<SessionList> {
    const sessions = await this.sessions.list(principal);
    return {
      sessions: sessions.map((session) => ({
        id: session.id,
        created_at: session.createdAt.toISOString(),
        last_used_at: session.lastUsedAt.toISOString(),
        expires_at: session.expiresAt.toISOString(),
        ip: session.ip,
        user_agent: session.userAgent,
        current: session.id === principal.sessionId,
      })),
    };
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ operationId: 'endSession', summary: 'End one session of the caller' })
  @ApiParam({ name: 'id', format: 'uuid', description: 'From the list of sessions.' })
  @ApiNoContentResponse({ description: 'The session has ended. Its tokens are refused by every instance.' })
  @ApiProblems(400, 401, 404, 413, 415, 422, 503)
  async end(
    @Param('id') id: string,
    @CurrentUser() principal: Principal,
    @Body() _: NoBody,
    @CurrentClient() client: Client,
  ): Promise<void> {
    await this.sessions.endOwn(id, principal, client);
  }
}
