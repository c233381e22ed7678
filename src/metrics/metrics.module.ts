import { Global, Module } from '@nestjs/common';
import { Metrics } from './metrics.js';

/** What everybody counts into. The port that shows it is the server's alone, see `app.module.ts`. */
@Global()
@Module({ providers: [Metrics], exports: [Metrics] })
export class MetricsModule {}
