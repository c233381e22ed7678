import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { TokensModule } from '../tokens/tokens.module.js';
import { ClientAssertion } from './client-assertion.entity.js';
import { ClientAuthentication } from './client-authentication.js';
import { ClientDirectory } from './client-directory.js';
import { ClientSecret } from './client-secret.entity.js';
import { FeedController } from './feed.controller.js';
import { FeedService } from './feed.service.js';
import { IntrospectionBudget } from './introspection-budget.js';
import { IntrospectionController } from './introspection.controller.js';
import { IntrospectionService } from './introspection.service.js';
import { IntrospectionShortcut } from './introspection.shortcut.js';
import { JwksController } from './jwks.controller.js';
import { MetadataController } from './metadata.controller.js';
import { RevocationController } from './revocation.controller.js';
import { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository } from './service-client.repository.js';
import { ServiceClientService } from './service-client.service.js';
import { TokenRevocationService } from './token-revocation.service.js';
import { VerifierLag } from './verifier-lag.js';
import { VerifyController } from './verify.controller.js';

/** What an operator's commands need of it: no routes. */
@Module({
  imports: [TypeOrmModule.forFeature([ClientAssertion, ClientSecret, ServiceClient])],
  providers: [ServiceClientRepository, ServiceClientService],
  exports: [ServiceClientRepository, ServiceClientService],
})
export class ServiceClientsModule {}

/** What other services call. */
@Module({
  imports: [AuthModule, ServiceClientsModule, TokensModule],
  controllers: [
    FeedController,
    IntrospectionController,
    JwksController,
    MetadataController,
    RevocationController,
    VerifyController,
  ],
  providers: [
    ClientAuthentication,
    ClientDirectory,
    FeedService,
    IntrospectionBudget,
    IntrospectionService,
    IntrospectionShortcut,
    TokenRevocationService,
    VerifierLag,
  ],
})
export class OAuthModule {}
