import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AuditTrail, type AuditEntry } from '../../audit/audit-trail.js';
import { Clock, plusSeconds } from '../../common/clock.js';
import { budgetOf, Config } from '../../config/config.js';
import type { MessageKind } from '../../mail/messages.js';
import { Outbox } from '../../mail/outbox.js';
import { UserRepository } from '../../users/user.repository.js';

/** How many mails of one kind somebody may have sent to one account, `RATE_LIMIT_ACCOUNT_MAIL`. */
@Injectable()
export class AccountMailCap {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Whether the account was sent so many mails of this kind lately that this one is left out, which is recorded. Nobody is
   * told: whoever asked has the same answer as ever. Holds the account until the transaction ends.
   *
   * @param origin who asked, and from where.
   */
  async isReached(
    userId: string,
    kind: MessageKind,
    origin: Pick<AuditEntry, 'actor' | 'client'>,
    transaction: EntityManager,
  ): Promise<boolean> {
    await this.users.hold(userId, transaction); // else two at a time would count the same ones
    const { points, seconds } = budgetOf(this.config.rateLimitAccountMail);
    const since = plusSeconds(this.clock.now(), -seconds);
    if ((await this.outbox.countSince(userId, kind, since, transaction)) < points) return false;
    const entry = { outcome: 'failure', subjectId: userId, reason: 'account_mail', details: { kind } } as const;
    await this.audit.record({ type: 'excess_rate_limit_exceeded', ...entry, ...origin }, transaction);
    return true;
  }
}
