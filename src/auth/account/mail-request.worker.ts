import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { BackgroundLoop } from '../../common/background-loop.js';
import { plusSeconds } from '../../common/clock.js';
import { inTransaction } from '../../database/transaction.js';
import type { Message } from '../../mail/messages.js';
import { Outbox } from '../../mail/outbox.js';
import type { CanonicalEmail } from '../../users/email-address.js';
import { NO_PASSWORD, type User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import type { MailRequest } from '../mail-request.entity.js';
import { MailRequestRepository } from '../mail-request.repository.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';
import { LOCK_SECONDS } from '../password-attempts.js';

const INTERVAL_MS = 500;
const BATCH = 50;

/**
 * Answers the requests for mail, off the request that asked: there every address takes the same time, here it shows whether
 * it has an account. Each is one transaction, so a kill leaves the request or the mail.
 */
@Injectable()
export class MailRequestWorker {
  readonly loop = new BackgroundLoop('mail_requests', INTERVAL_MS, async () => {
    await this.answerAll();
  });
  private readonly logger = new Logger(MailRequestWorker.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly requests: MailRequestRepository,
    private readonly users: UserRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly outbox: Outbox,
  ) {}

  /** One round. @returns how many requests it answered, with a mail or without. */
  async answerAll(): Promise<number> {
    let answered = 0;
    const requests = await this.requests.findOldest(BATCH);
    // Of several alike the newest is answered, and with it the others: each link would kill the one before it.
    const newest = new Map(requests.map((request) => [keyOf(request), request]));
    for (const request of requests) {
      try {
        if (await this.answerOne(request, newest.get(keyOf(request)) === request)) answered += 1;
      } catch (error) {
        // It stays for the next round, and does not keep those behind it from theirs.
        this.logger.warn({ event: 'mail_request_failed', kind: request.kind, err: error });
      }
    }
    return answered;
  }

  /** @returns false when another instance has answered it. */
  private answerOne(request: MailRequest, isNewest: boolean): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.requests.take(request.id, transaction))) return false;
      if (isNewest) await this.answer(request, transaction);
      return true;
    });
  }

  private async answer(request: MailRequest, transaction: EntityManager): Promise<void> {
    const user = await this.users.findByEmailWithHash(request.emailCanonical as CanonicalEmail, transaction);
    // A disabled account: whoever knows its password is told at the login, and nobody else.
    if (!user || user.disabledAt) return;
    const message = await this.messageFor(request, user, transaction);
    if (message) await this.outbox.add({ userId: user.id, email: user.email }, message, transaction);
  }

  private async messageFor(
    { kind, createdAt }: MailRequest,
    user: User,
    transaction: EntityManager,
  ): Promise<Message | undefined> {
    if (kind === 'reset_password') {
      return { kind, token: await this.tokens.issue(user, kind, transaction) };
    }
    if (kind === 'account_locked') return { kind, until: plusSeconds(createdAt, LOCK_SECONDS).toISOString() };
    if (!user.emailVerified) {
      if (kind === 'signup') await this.users.waitFrom(user.id, createdAt, transaction);
      const token = await this.tokens.issue(user, 'verify_email', transaction);
      return { kind: 'verify_email', token, asksForPassword: user.passwordHash === NO_PASSWORD };
    }
    return kind === 'signup' ? { kind: 'signup_attempted' } : undefined;
  }
}

const keyOf = ({ kind, emailCanonical }: MailRequest) => `${kind} ${emailCanonical}`;
