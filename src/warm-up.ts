import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { PasswordAttempts } from './auth/password-attempts.js';
import { PasswordBlocklist } from './auth/password-blocklist.js';
import { PasswordHasher } from './auth/password-hasher.js';

/**
 * What a server makes when it starts, so that no request waits for it: the counters of failures of those who have no account,
 * before the first one; a thread that hashes and the list of common passwords while the first ones come. A command does without.
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
    void this.prepare('hash_thread', () => this.hasher.start());
    void this.prepare('password_blocklist', () => this.blocklist.load());
    await this.prepare('login_counters', () => this.attempts.prepare());
  }

  /** A database that is not there, or not migrated, is no reason not to start; and whoever needs the rest makes it. */
  private async prepare(reason: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.logger.warn({ event: 'background_work_failed', reason, err: error });
    }
  }
}
