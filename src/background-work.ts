import { Injectable, Logger, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { hostname } from 'node:os';
import { AuditSealer } from './audit/audit-sealer.js';
import { AuditTrail } from './audit/audit-trail.js';
import { MailRequestWorker } from './auth/account/mail-request.worker.js';
import { PurgeService } from './auth/purge.service.js';
import type { BackgroundLoop } from './common/background-loop.js';
import { OutboxWorker } from './mail/outbox.worker.js';
import { RevocationFeed } from './tokens/revocation-feed.js';
import { SigningKeys } from './tokens/signing-keys.js';

/** What a server does beside its requests, and an operator's command does not. */
@Injectable()
export class BackgroundWork implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loops: Pick<BackgroundLoop, 'start' | 'stop'>[];

  private readonly logger = new Logger(BackgroundWork.name);

  constructor(
    purge: PurgeService,
    mailRequests: MailRequestWorker,
    outbox: OutboxWorker,
    sealer: AuditSealer,
    feed: RevocationFeed,
    private readonly keys: SigningKeys,
    private readonly audit: AuditTrail,
  ) {
    this.loops = [purge.loop, mailRequests.loop, outbox, sealer, feed, keys.loop];
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.keys.refuseOtherMasterKey();
    await this.record('sys_startup');
    for (const loop of this.loops) loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
    await this.record('sys_shutdown');
  }

  /** PCI DSS 10.2.1.6. A database that is away is no reason not to start, nor to stop. */
  private async record(type: 'sys_startup' | 'sys_shutdown'): Promise<void> {
    try {
      await this.audit.record({ type, actor: { type: 'system' }, details: { host: hostname(), pid: process.pid } });
    } catch (error) {
      this.logger.warn({ event: 'audit_event_lost', kind: type, err: error });
    }
  }
}
