import { Controller, Get, Logger, Res } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiResponse, ApiTags } from './common/openapi-decorators.js';
import type { FastifyReply } from 'fastify';
import type { DataSource } from 'typeorm';
import { Public } from './common/principal.js';
import { pendingMigrations } from './database/migrator.js';

const READY_TIMEOUT_MS = 3_000;

class Health {
  @ApiProperty({ enum: ['ok', 'unavailable'] })
  status!: 'ok' | 'unavailable';
}

@ApiTags('Operation')
@Public()
@Controller('health')
export class HealthController {
  private readonly logger = new Logger(HealthController.name);

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  @Get('live')
  @ApiOperation({ summary: 'Whether the process answers' })
  @ApiOkResponse({ type: Health, description: 'It does.' })
  live(): Health {
    return { status: 'ok' };
  }

  @Get('ready')
  @ApiOperation({ summary: 'Whether the database answers and no migration is pending' })
  @ApiOkResponse({ type: Health, description: 'Ready for traffic.' })
  @ApiResponse({ status: 503, type: Health, description: 'Not ready; the log says why.' })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<Health> {
    const problem = await Promise.race([
      pendingMigrations(this.dataSource).then(
        (pending) => (pending.length === 0 ? undefined : { reason: 'migration_pending' }),
        (error: unknown) => ({ reason: 'database', err: error }),
      ),
      new Promise<{ reason: string }>((resolve) => {
        setTimeout(resolve, READY_TIMEOUT_MS, { reason: 'database_timeout' }).unref();
      }),
    ]);
    if (problem) {
      this.logger.warn({ event: 'not_ready', ...problem });
      void reply.status(503);
    }
    return { status: problem ? 'unavailable' : 'ok' };
  }
}
