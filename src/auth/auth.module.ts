import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { TokensModule } from '../tokens/tokens.module.js';
import { UsersModule } from '../users/users.module.js';
import { LoginController } from './login.controller.js';
import { LocalStrategy, LoginGuard } from './login.guard.js';
import { LoginService } from './login.service.js';
import { LogoutController } from './logout.controller.js';
import { LogoutService } from './logout.service.js';
import { PasswordBlocklist } from './password-blocklist.js';
import { PasswordHasher } from './password-hasher.js';
import { PasswordPolicy } from './password-policy.js';
import { PurgeService } from './purge.service.js';
import { RefreshService } from './refresh.service.js';
import { RefreshTokens } from './refresh-token.js';
import { Session } from './session.entity.js';
import { SessionRepository } from './session.repository.js';
import { SessionService } from './session.service.js';
import { SessionsController } from './sessions.controller.js';
import { SignupController } from './signup.controller.js';
import { SignupService } from './signup.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Session]), UsersModule, TokensModule],
  controllers: [SignupController, LoginController, LogoutController, SessionsController],
  providers: [
    LocalStrategy,
    LoginGuard,
    LoginService,
    LogoutService,
    PasswordBlocklist,
    PasswordHasher,
    PasswordPolicy,
    PurgeService,
    RefreshService,
    RefreshTokens,
    SessionRepository,
    SessionService,
    SignupService,
  ],
})
export class AuthModule {}
