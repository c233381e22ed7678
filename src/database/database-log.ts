import { Logger } from '@nestjs/common';
import type { Logger as TypeOrmLogger } from 'typeorm';

/**
 * TypeORM's own loggers print statements with their parameters, slow ones even when logging is off: addresses, hashes and
 * seeds among them. This says that something was slow, and nothing else.
 */
export class DatabaseLog implements TypeOrmLogger {
  private readonly logger = new Logger('Database');

  logQuerySlow(durationMs: number): void {
    this.logger.warn({ event: 'slow_query', duration_ms: durationMs });
  }
  logQuery(): void {}
  logQueryError(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
