import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail.js';
import { Clock } from '../common/clock.js';
import { afterCommit, inTransaction } from '../database/transaction.js';
import { Outbox } from '../mail/outbox.js';
import { Metrics } from '../metrics/metrics.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { BreachedPasswords } from './breached-passwords.js';
import { PasswordBlocklist } from './password-blocklist.js';

/** Checks at once. Beyond, a login goes unchecked: the person's next one is looked into again. */
export const MAX_CHECKS = 10;

/** Tells people by mail, once for a password, that the one they have just logged in with is known from a breach. */
@Injectable()
export class BreachNoticeService implements OnApplicationShutdown {
  private readonly logger = new Logger(BreachNoticeService.name);
  private readonly checks = new Set<Promise<void>>();

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly blocklist: PasswordBlocklist,
    private readonly breached: BreachedPasswords,
    private readonly users: UserRepository,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Looks into the password of a login that is done. Goes on by itself: the login waits for nothing here, and nothing here
   * fails it.
   *
   * @param user as the password was checked against it.
   */
  lookInto(user: User, password: string): void {
    if (user.breachToldAt !== null || this.checks.size >= MAX_CHECKS) return;
    const check: Promise<void> = this.check(user, password)
      .catch((error: unknown) => this.logger.warn({ event: 'breach_notice_failed', err: error }))
      .finally(() => this.checks.delete(check));
    this.checks.add(check);
  }

  /** Returns when every check that was begun is over. */
  async settled(): Promise<void> {
    await Promise.all(this.checks);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.settled();
  }

  private async check(user: User, password: string): Promise<void> {
    const list = await this.listOf(password);
    if (list) await this.tell(user, list);
  }

  private async listOf(password: string): Promise<'builtin' | 'range' | undefined> {
    if (this.blocklist.has(password)) return 'builtin';
    return (await this.breached.has(password)) ? 'range' : undefined;
  }

  private async tell(user: User, list: string): Promise<void> {
    const { id, email } = user;
    await inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.users.noteBreachTold(user, this.clock.now(), transaction))) return;
      await this.outbox.add({ userId: id, email }, { kind: 'password_breached' }, transaction);
      const entry = { actor: { type: 'system' }, subjectId: id, reason: 'password_breached' } as const;
      await this.audit.record({ type: 'user_updated', ...entry }, transaction);
      afterCommit(transaction, () => this.metrics.breachedPasswords.inc({ list, use: 'login' }));
    });
  }
}
