import { Injectable, Logger, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { Clock, plusSeconds } from '../common/clock.js';
import { RevocationRepository } from '../tokens/revocation.repository.js';
import { SessionRepository } from './session.repository.js';

const INTERVAL_MS = 60_000;
const BATCH = 500;
/** A verifier's clock may be behind by this much (RFC 7519: "no more than a few minutes"). */
const REVOCATION_MARGIN_SECONDS = 60;
const SESSION_MARGIN_SECONDS = 86_400;

/**
 * Deletes what has been dead long enough, in small batches, on every instance: they may meet on the same rows, and whoever
 * comes second deletes none.
 */
@Injectable()
export class PurgeService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(PurgeService.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(
    private readonly clock: Clock,
    private readonly sessions: SessionRepository,
    private readonly revocations: RevocationRepository,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** One round. A revocation goes when the last access token it concerns has, a session a day after its absolute end. */
  async purge(): Promise<{ sessions: number; revocations: number }> {
    const now = this.clock.now();
    const revocations = await this.untilDone(() =>
      this.revocations.purge(plusSeconds(now, -REVOCATION_MARGIN_SECONDS), BATCH),
    );
    const sessions = await this.untilDone(() => this.sessions.purge(plusSeconds(now, -SESSION_MARGIN_SECONDS), BATCH));
    return { sessions, revocations };
  }

  private schedule(): void {
    if (this.isStopping) return;
    // Jitter, so that instances started together do not meet every time.
    this.timer = setTimeout(
      () => {
        this.running = this.round();
      },
      INTERVAL_MS * (0.8 + 0.4 * Math.random()),
    );
    this.timer.unref();
  }

  private async round(): Promise<void> {
    try {
      const purged = await this.purge();
      if (purged.sessions + purged.revocations > 0) this.logger.log({ event: 'purged', ...purged });
    } catch (error) {
      this.logger.warn({ event: 'purge_failed', err: error });
    }
    this.schedule();
  }

  private async untilDone(purgeBatch: () => Promise<number>): Promise<number> {
    let total = 0;
    while (!this.isStopping) {
      const deleted = await purgeBatch();
      total += deleted;
      if (deleted < BATCH) break;
    }
    return total;
  }
}
