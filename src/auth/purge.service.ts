import { Injectable, Logger } from '@nestjs/common';
import { BackgroundLoop } from '../common/background-loop.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { Config } from '../config/config.js';
import { RateLimits } from '../limits/rate-limits.js';
import { Outbox } from '../mail/outbox.js';
import { RevocationRepository } from '../tokens/revocation.repository.js';
import { UserRepository } from '../users/user.repository.js';
import { AccountDeletionService } from './account/account-deletion.service.js';
import { DeviceRepository } from './device.repository.js';
import { LoginFailureRepository } from './login-failure.repository.js';
import { OneTimeTokenRepository } from './account/one-time-token.repository.js';
import { PasswordAttempts } from './password-attempts.js';
import { SessionRepository } from './session.repository.js';
import { SessionService } from './session.service.js';

const INTERVAL_MS = 60_000;
const BATCH = 500;
const DAY_SECONDS = 86_400;
/** A verifier's clock may be behind by this much (RFC 7519: "no more than a few minutes"). */
const REVOCATION_MARGIN_SECONDS = 60;
const PENDING_ACCOUNT_SECONDS = 7 * DAY_SECONDS;
/** A device that has not logged in for so long is not known any more. */
const DEVICE_SECONDS = 90 * DAY_SECONDS;
/** What an older master key counted: by then every instance has the newer one. */
const FORMER_KEY_SECONDS = 30 * DAY_SECONDS;

/** What went in one round, by table. */
export type Purged = Record<
  | 'revocations'
  | 'expired_sessions'
  | 'sessions'
  | 'links'
  | 'pending_accounts'
  | 'erased_accounts'
  | 'mails'
  | 'login_failures'
  | 'devices'
  | 'rate_limits',
  number
>;

/**
 * Deletes what has been dead long enough, in small batches, on every instance: they may meet on the same rows, and whoever
 * comes second deletes none.
 */
@Injectable()
export class PurgeService {
  readonly loop = new BackgroundLoop('purge', INTERVAL_MS, async (isStopping) => {
    const purged = await this.purge(isStopping);
    if (Object.values(purged).some((count) => count > 0)) this.logger.log({ event: 'purged', purged });
  });
  private readonly logger = new Logger(PurgeService.name);
  /** When counters of former master keys were looked for: once a day, because every account has to be gone through. */
  private sweptAt = new Date(0);

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly attempts: PasswordAttempts,
    private readonly sessionService: SessionService,
    private readonly sessions: SessionRepository,
    private readonly revocations: RevocationRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly deletions: AccountDeletionService,
    private readonly outbox: Outbox,
    private readonly loginFailures: LoginFailureRepository,
    private readonly devices: DeviceRepository,
    private readonly limits: RateLimits,
  ) {}

  /**
   * One round. A revocation goes when the last access token it concerns has, a session a day after its absolute end, the
   * token of a link a day after it expired, an account that never showed its address after seven.
   */
  async purge(isStopping: () => boolean = () => false): Promise<Purged> {
    const now = this.clock.now();
    const ago = (seconds: number) => plusSeconds(now, -seconds);
    const all = (batch: () => Promise<number>) => untilDone(batch, isStopping);
    return {
      revocations: await all(() => this.revocations.purge(ago(REVOCATION_MARGIN_SECONDS), BATCH)),
      expired_sessions: await all(() => this.sessionService.endExpired(BATCH)),
      sessions: await all(() => this.sessions.purge(ago(DAY_SECONDS), BATCH)),
      links: await all(() => this.tokens.purge(ago(DAY_SECONDS), BATCH)),
      pending_accounts: await all(() => this.deletions.purgePending(ago(PENDING_ACCOUNT_SECONDS), BATCH)),
      erased_accounts: await all(() => this.deletions.eraseDue(BATCH)),
      mails: await all(() => this.outbox.purge(now, BATCH)),
      devices: await all(() => this.devices.purge(ago(DEVICE_SECONDS), BATCH)),
      rate_limits: await all(() => this.limits.purge(BATCH)),
      login_failures:
        (await all(() => this.loginFailures.purgeDevices(ago(DEVICE_SECONDS), BATCH))) +
        (await this.purgeFormerCounters(now, isStopping)),
    };
  }

  /** What was counted under a master key that is still known and not the newest any more. */
  private async purgeFormerCounters(now: Date, isStopping: () => boolean): Promise<number> {
    if (this.config.masterKeys.length < 2 || this.sweptAt > plusSeconds(now, -DAY_SECONDS)) return 0;
    const before = plusSeconds(now, -FORMER_KEY_SECONDS);
    let total = 0;
    let lastId: string | undefined = '';
    while (lastId !== undefined) {
      if (isStopping()) return total;
      const page = await this.users.findAfter(lastId, BATCH);
      const addresses = page.map(({ emailCanonical }) => emailCanonical);
      total += await this.attempts.purgeFormer(addresses, before);
      lastId = page.at(-1)?.id;
    }
    this.sweptAt = now;
    return total;
  }
}

async function untilDone(purgeBatch: () => Promise<number>, isStopping: () => boolean): Promise<number> {
  let total = 0;
  while (!isStopping()) {
    const deleted = await purgeBatch();
    total += deleted;
    if (deleted < BATCH) break;
  }
  return total;
}
