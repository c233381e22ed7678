import { Controller, Get, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '../common/openapi-decorators.js';
import { ApiBearer, ApiProblems } from '../common/openapi.js';
import { InvalidToken } from '../common/domain-error.js';
import { CurrentUser, type Principal } from '../common/principal.js';
import { UserRepository, type Profile } from './user.repository.js';

export class Me {
  @ApiProperty({ format: 'uuid', example: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51' })
  id!: string;

  @ApiProperty({ format: 'email', example: 'ada@example.com', description: 'As it was typed at sign-up.' })
  email!: string;

  @ApiProperty({ example: false })
  email_verified!: boolean;

  @ApiProperty({ format: 'date-time', example: '2026-11-22T12:00:00.000Z' })
  created_at!: string;

  static of({ id, email, emailVerified, createdAt }: Profile): Me {
    return { id, email, email_verified: emailVerified, created_at: createdAt.toISOString() };
  }
}

@ApiTags('Users')
@Controller('users')
export class UsersController {
  constructor(private readonly users: UserRepository) {}

  @Get('me')
  @ApiOperation({ summary: 'The account of the caller' })
  @ApiBearer()
  @ApiOkResponse({ type: Me, description: 'The account.' })
  @ApiProblems(401, 503)
  async me(@CurrentUser() { userId }: Principal, @Req() { raw }: FastifyRequest): Promise<Me> {
    const user = await (this.users.handedOver.take(raw) ?? this.users.findProfile(userId));
    if (!user) throw new InvalidToken('no_such_user');
    return Me.of(user);
  }
}
