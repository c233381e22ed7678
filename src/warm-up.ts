import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { PasswordAttempts } from './auth/password-attempts.js';
import { PasswordBlocklist } from './auth/password-blocklist.js';
import { PasswordHasher } from './auth/password-hasher.js';

/**
 * What a server makes before its first request, so that none of them waits for it or takes another time than the next: the
 * threads that hash, the counters of failures of those who have no account, the list of common passwords. A command does without.
 */
@Injectable()
export class WarmUp implements OnApplicationBootstrap {
  private readonly logger = new Logger(WarmUp.name);

  constructor(
    private readonly hasher: PasswordHasher,
    private readonly blocklist: PasswordBlocklist,
    private readonly attempts: PasswordAttempts,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const threads = this.hasher.start(); // they come up while we read the list
    this.blocklist.load();
    await Promise.all([threads, this.prepareCounters()]);
  }

  private async prepareCounters(): Promise<void> {
    try {
      await this.attempts.prepare();
    } catch (error) {
      // A database that is not there, or not migrated, is no reason not to start.
      this.logger.warn({ event: 'background_work_failed', reason: 'login_counters', err: error });
    }
  }
}
