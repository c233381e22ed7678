import { Logger, Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Config } from '../config/config.js';
import { connect, createDataSource, isSqlite, type DataSourceSettings } from './data-source.js';
import { Lease } from './lease.entity.js';
import { Leases } from './leases.js';
import { migrate, pendingMigrations } from './migrator.js';
import { PoolMetrics } from './pool-metrics.js';

/** On a connection without the time limit of a request's statement: another process may hold the lock. */
async function migrateApart(config: Config): Promise<string[]> {
  const dataSource = await createDataSource(config, { queryTimeoutMs: 0 }).initialize();
  try {
    return await migrate(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

/** The connection, made once at start. Entities come from the modules that own them. */
@Module({})
export class DatabaseModule {
  static with(settings: Pick<DataSourceSettings, 'queryTimeoutMs'> = {}): DynamicModule {
    const connection = TypeOrmModule.forRootAsync({
      inject: [Config],
      useFactory: (config: Config) => ({ config, autoLoadEntities: true, retryAttempts: 0 }) as object,
      dataSourceFactory: async (options) => {
        const { config, entities } = options as unknown as { config: Config; entities: never[] };
        const logger = new Logger('Database');
        const dataSource = createDataSource(config, { ...settings, entities });
        await connect(dataSource, (code, wait_ms) => logger.warn({ event: 'database_not_there_yet', code, wait_ms }));
        // In production the operator migrates, with rights that this process does not have.
        if (!config.isProduction) {
          const isDue = (await pendingMigrations(dataSource)).length > 0;
          const work = () => (isSqlite(dataSource) ? migrate(dataSource) : migrateApart(config));
          const applied = isDue ? await work() : [];
          if (applied.length > 0) logger.log({ event: 'migrated', applied });
        }
        return dataSource;
      },
    });
    return {
      module: DatabaseModule,
      global: true,
      imports: [connection, TypeOrmModule.forFeature([Lease])],
      providers: [Leases, PoolMetrics],
      exports: [Leases],
    };
  }
}
