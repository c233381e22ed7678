import { Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { AuditSealer } from './audit/audit-sealer.js';
import { MailRequestWorker } from './auth/account/mail-request.worker.js';
import { PurgeService } from './auth/purge.service.js';
import type { BackgroundLoop } from './common/background-loop.js';
import { OutboxWorker } from './mail/outbox.worker.js';

/** What a server does beside its requests, and an operator's command does not. */
@Injectable()
export class BackgroundWork implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loops: Pick<BackgroundLoop, 'start' | 'stop'>[];

  constructor(purge: PurgeService, mailRequests: MailRequestWorker, outbox: OutboxWorker, sealer: AuditSealer) {
    this.loops = [purge.loop, mailRequests.loop, outbox, sealer];
  }

  onApplicationBootstrap(): void {
    for (const loop of this.loops) loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
  }
}
