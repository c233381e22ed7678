import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { TokensModule } from '../tokens/tokens.module.js';
import { UsersModule } from '../users/users.module.js';
import { AccountAdministrationService } from './account/account-administration.service.js';
import { AccountDeletionService } from './account/account-deletion.service.js';
import { AccountExportService } from './account/account-export.service.js';
import { AccountMailCap } from './account/account-mail-cap.js';
import { AccountController } from './account/account.controller.js';
import { ActivityController } from './account/activity.controller.js';
import { EmailChangeService } from './account/email-change.service.js';
import { EmailVerificationService } from './account/email-verification.service.js';
import { EmailController } from './account/email.controller.js';
import { BreachNoticeService } from './breach-notice.service.js';
import { BreachedPasswords } from './breached-passwords.js';
import { Device } from './device.entity.js';
import { DeviceRepository } from './device.repository.js';
import { DeviceTokens } from './device-tokens.js';
import { FormerPassword } from './account/former-password.entity.js';
import { FormerPasswordRepository } from './account/former-password.repository.js';
import { LoginFailure } from './login-failure.entity.js';
import { LoginFailureRepository } from './login-failure.repository.js';
import { LoginController } from './login.controller.js';
import { LocalStrategy, LoginGuard } from './login.guard.js';
import { LoginPairs } from './login-pairs.js';
import { LoginService } from './login.service.js';
import { LogoutController } from './logout.controller.js';
import { LogoutService } from './logout.service.js';
import { MailRequest } from './mail-request.entity.js';
import { MailRequestRepository } from './mail-request.repository.js';
import { MailRequestWorker } from './account/mail-request.worker.js';
import { NewPasswordService } from './account/new-password.service.js';
import { OneTimeToken } from './account/one-time-token.entity.js';
import { OneTimeTokenRepository } from './account/one-time-token.repository.js';
import { PasswordAttempts } from './password-attempts.js';
import { PasswordBlocklist } from './password-blocklist.js';
import { PasswordChangeService } from './account/password-change.service.js';
import { PasswordHasher } from './password-hasher.js';
import { PasswordPolicy } from './password-policy.js';
import { PasswordResetService } from './account/password-reset.service.js';
import { PasswordController } from './account/password.controller.js';
import { PurgeService } from './purge.service.js';
import { ReauthenticationService } from './account/reauthentication.service.js';
import { RefreshTokens } from './refresh-token.js';
import { RefreshService } from './refresh.service.js';
import { RewrapService } from './rewrap.service.js';
import { Session } from './session.entity.js';
import { SessionRepository } from './session.repository.js';
import { SessionService } from './session.service.js';
import { SessionsController } from './sessions.controller.js';
import { SignupController } from './account/signup.controller.js';
import { SignupService } from './account/signup.service.js';
import { UserImportService } from './account/user-import.service.js';

@Module({
  imports: [
    TypeOrmModule.forFeature([Device, FormerPassword, LoginFailure, MailRequest, OneTimeToken, Session]),
    UsersModule,
    TokensModule,
  ],
  controllers: [
    AccountController,
    ActivityController,
    EmailController,
    LoginController,
    LogoutController,
    PasswordController,
    SessionsController,
    SignupController,
  ],
  providers: [
    AccountAdministrationService,
    AccountDeletionService,
    AccountExportService,
    AccountMailCap,
    BreachNoticeService,
    BreachedPasswords,
    DeviceRepository,
    DeviceTokens,
    EmailChangeService,
    EmailVerificationService,
    FormerPasswordRepository,
    LocalStrategy,
    LoginFailureRepository,
    LoginGuard,
    LoginPairs,
    LoginService,
    LogoutService,
    MailRequestRepository,
    MailRequestWorker,
    NewPasswordService,
    OneTimeTokenRepository,
    PasswordAttempts,
    PasswordBlocklist,
    PasswordChangeService,
    PasswordHasher,
    PasswordPolicy,
    PasswordResetService,
    PurgeService,
    ReauthenticationService,
    RefreshService,
    RefreshTokens,
    RewrapService,
    SessionRepository,
    SessionService,
    SignupService,
    UserImportService,
  ],
  exports: [
    AccountAdministrationService,
    MailRequestWorker,
    PasswordAttempts,
    PasswordBlocklist,
    PasswordHasher,
    PurgeService,
    RefreshService,
    RewrapService,
    SessionService,
    UserImportService,
  ],
})
export class AuthModule {}
