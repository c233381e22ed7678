import { Injectable } from '@nestjs/common';
import { AuditTrail, type AuditEntry } from '../audit/audit-trail.js';
import { TooManyRequests } from '../common/domain-error.js';
import { Metrics } from '../metrics/metrics.js';
import type { Budget, Use } from './rate-limits.js';

/** What a spent budget leaves behind: every refusal is counted, and the first of a window is an event in the audit trail. */
@Injectable()
export class BudgetRefusals {
  constructor(
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Refuses a request for which a budget has no point left.
   *
   * @param whose what of the event says whose budget it is.
   * @throws TooManyRequests
   */
  async refuse(
    budget: Budget,
    { isFirstRefused, resetSeconds }: Use,
    whose: Pick<AuditEntry, 'actor' | 'client' | 'details'>,
  ): Promise<never> {
    this.metrics.budgetRefusals.inc({ budget });
    if (isFirstRefused) {
      await this.audit.record({ type: 'excess_rate_limit_exceeded', outcome: 'failure', reason: budget, ...whose });
    }
    throw new TooManyRequests(budget, resetSeconds);
  }
}
