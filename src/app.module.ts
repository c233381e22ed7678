import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { BackgroundWork } from './background-work.js';
import { BodyPipe } from './common/body.pipe.js';
import { Clock } from './common/clock.js';
import { MasterKeys } from './common/master-keys.js';
import { ProblemFilter } from './common/problem.filter.js';
import { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthController } from './health.controller.js';
import { LimitsModule } from './limits/limits.module.js';
import { MailModule } from './mail/mail.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { MetricsServer } from './metrics/metrics.server.js';
import { OAuthModule, ServiceClientsModule } from './oauth/oauth.module.js';
import { PagesModule } from './pages/pages.module.js';
import { BearerGuard } from './tokens/bearer.guard.js';
import { TokensModule } from './tokens/tokens.module.js';
import { UsersModule } from './users/users.module.js';
import { WarmUp } from './warm-up.js';

/** What every module may ask for: the time, and the keys derived from the master key. */
@Global()
@Module({
  providers: [
    Clock,
    { provide: MasterKeys, useFactory: (config: Config) => new MasterKeys(config.masterKeys), inject: [Config] },
  ],
  exports: [Clock, MasterKeys],
})
class CoreModule {}

/** What the server and the operator's commands share. */
const sharedModules = (config: Config, database: DynamicModule) => [
  ConfigModule.with(config),
  MetricsModule,
  database,
  CoreModule,
  AuditModule,
  LimitsModule,
  MailModule.with(config),
  TokensModule,
  UsersModule,
  AuthModule,
  ServiceClientsModule,
];

/** The server. */
@Module({})
export class AppModule {
  static with(config: Config): DynamicModule {
    return {
      module: AppModule,
      imports: [...sharedModules(config, DatabaseModule.with()), OAuthModule, PagesModule],
      controllers: [HealthController],
      providers: [
        WarmUp,
        BackgroundWork,
        MetricsServer,
        { provide: APP_GUARD, useClass: BearerGuard },
        { provide: APP_PIPE, useClass: BodyPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}

/** An operator's command: no routes, nothing that works by itself, and as much time for a statement as it takes. */
@Module({})
export class CommandModule {
  static with(config: Config): DynamicModule {
    return { module: CommandModule, imports: sharedModules(config, DatabaseModule.with({ queryTimeoutMs: 0 })) };
  }
}
