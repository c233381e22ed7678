import { Injectable } from '@nestjs/common';
import { AuditTrail } from '../audit/audit-trail.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { clientBlock } from '../limits/client-block.js';
import { RateLimits } from '../limits/rate-limits.js';
import { Metrics } from '../metrics/metrics.js';

/**
 * Failures of one client address at one account, and the number of accounts at which an address fails: the mark of
 * credential stuffing (OWASP Credential Stuffing Prevention Cheat Sheet). Accounts are taken by their bucket, addresses
 * without one alike: so there is an end of rows, and nothing here tells whether there is an account.
 */
@Injectable()
export class LoginPairs {
  constructor(
    private readonly config: Config,
    private readonly limits: RateLimits,
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {
    metrics.gauge('login_accounts_per_address_max', 'Accounts at which the busiest address has failed lately.', () =>
      limits.highest('login_accounts'),
    );
  }

  /** Whether the passwords of this address for this account are not looked at any more. */
  async isSpent({ ip }: Client, bucket: number): Promise<boolean> {
    if (this.config.rateLimits === 'off') return false;
    return this.limits.isSpent('login_pair', pairOf(ip, bucket));
  }

  /** The person has recovered the account, and that is committed: no address has failed there any more. */
  async forgive(bucket: number): Promise<void> {
    await this.limits.clear('login_pair', `${bucket}|`);
  }

  /** Notes a wrong password. At a new account too many of an address it is recorded, once in a window. */
  async fail(client: Client, bucket: number): Promise<void> {
    if (this.config.rateLimits === 'off') return;
    const pair = await this.limits.use('login_pair', pairOf(client.ip, bucket));
    if (!pair.isFirst) return;
    const address = clientBlock(client.ip);
    const accounts = await this.limits.use('login_accounts', address);
    if (!accounts.isFirstRefused) return;
    this.metrics.stuffingAlerts.inc();
    const details = { address, accounts: accounts.points + 1, seconds: accounts.windowSeconds };
    await this.audit.record({
      type: 'excess_rate_limit_exceeded',
      outcome: 'failure',
      reason: 'many_accounts_from_one_address',
      actor: { type: 'anonymous' },
      client,
      details,
    });
  }
}

const pairOf = (ip: string, bucket: number) => `${bucket}|${clientBlock(ip)}`;
