import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail, type AuditEntry } from '../../audit/audit-trail.js';
import { BackgroundLoop } from '../../common/background-loop.js';
import { Clock, plusSeconds, secondsSince } from '../../common/clock.js';
import { Config } from '../../config/config.js';
import { inTransaction } from '../../database/transaction.js';
import type { Message } from '../../mail/messages.js';
import { Outbox } from '../../mail/outbox.js';
import { Metrics } from '../../metrics/metrics.js';
import type { CanonicalEmail } from '../../users/email-address.js';
import { NO_PASSWORD, type User } from '../../users/user.entity.js';
import { UserRepository } from '../../users/user.repository.js';
import type { MailRequest, MailRequestKind } from '../mail-request.entity.js';
import { MailRequestRepository } from '../mail-request.repository.js';
import { AccountMailCap } from './account-mail-cap.js';
import { OneTimeTokenRepository } from './one-time-token.repository.js';

const INTERVAL_MS = 500;
const BATCH = 50;

/**
 * Answers the requests for mail, off the request that asked: there every address takes the same time, here it shows whether
 * it has an account. Each is one transaction, so a kill leaves the request or the mail.
 */
@Injectable()
export class MailRequestWorker {
  readonly loop = new BackgroundLoop('mail_requests', INTERVAL_MS, async (isStopping) => {
    await this.answerAll(isStopping);
  });
  private readonly logger = new Logger(MailRequestWorker.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly requests: MailRequestRepository,
    private readonly users: UserRepository,
    private readonly tokens: OneTimeTokenRepository,
    private readonly mailCap: AccountMailCap,
    private readonly outbox: Outbox,
    private readonly audit: AuditTrail,
    clock: Clock,
    metrics: Metrics,
  ) {
    metrics.gauge('mail_requests_waiting', 'Requests for mail that nobody has answered yet.', () =>
      requests.countWaiting(),
    );
    metrics.gauge('mail_requests_oldest_seconds', 'For how long the oldest request for mail has waited.', async () => {
      const [oldest] = await requests.findOldest(1);
      return secondsSince(oldest?.createdAt, clock.now());
    });
  }

  /** One round, until none is left that has not been tried. @returns how many requests it answered, with a mail or without. */
  async answerAll(isStopping: () => boolean = () => false): Promise<number> {
    let answered = 0;
    for (let last: string | undefined; ;) {
      const requests = await this.requests.findOldest(BATCH, last);
      answered += await this.answerEach(requests, isStopping);
      last = requests.at(-1)?.id;
      if (requests.length < BATCH || isStopping()) return answered;
    }
  }

  private async answerEach(requests: MailRequest[], isStopping: () => boolean): Promise<number> {
    let answered = 0;
    // Of several alike the newest is answered, and with it the others: each link would kill the one before it.
    const newest = new Map(requests.map((request) => [keyOf(request), request]));
    for (const request of requests) {
      if (isStopping()) break;
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
    const kind = kindFor(request.kind, user);
    if (!kind) return;
    const isCapped = ASKED_BY_ANYBODY.has(kind);
    if (isCapped && (await this.mailCap.isReached(user.id, kind, originOf(request), transaction))) return;
    const message = await this.messageOf(kind, request, user, transaction);
    await this.outbox.add({ userId: user.id, email: user.email }, message, transaction);
  }

  private async messageOf(
    kind: AnswerKind,
    request: MailRequest,
    user: User,
    transaction: EntityManager,
  ): Promise<Message> {
    if (kind === 'account_locked') {
      return { kind, until: plusSeconds(request.createdAt, this.config.lockSeconds).toISOString() };
    }
    if (kind === 'password_blocked' || kind === 'signup_attempted') return { kind };
    if (request.kind === 'signup') await this.users.waitFrom(user.id, request.createdAt, transaction);
    const token = await this.tokens.issue(user, kind, transaction);
    const entry = { type: 'authn_token_created', subjectId: user.id, reason: kind, ...originOf(request) } as const;
    await this.audit.record(entry, transaction);
    if (kind === 'reset_password') return { kind, token };
    return { kind, token, asksForPassword: user.passwordHash === NO_PASSWORD };
  }
}

type AnswerKind = 'verify_email' | 'signup_attempted' | 'reset_password' | 'account_locked' | 'password_blocked';

/** What anybody who knows the address can have sent. */
const ASKED_BY_ANYBODY: ReadonlySet<AnswerKind> = new Set(['verify_email', 'signup_attempted', 'reset_password']);

/** Which mail answers a request about this account; undefined when none does. */
function kindFor(kind: MailRequestKind, { emailVerified }: User): AnswerKind | undefined {
  if (kind !== 'signup' && kind !== 'verify_email') return kind;
  if (!emailVerified) return 'verify_email';
  return kind === 'signup' ? 'signup_attempted' : undefined;
}

/** Who asked: anybody, who may not even be a person with an account. */
function originOf({ ip, userAgent, requestId }: MailRequest): Pick<AuditEntry, 'actor' | 'client'> {
  return { actor: { type: 'anonymous' }, ...(ip !== null && { client: { ip, userAgent, requestId } }) };
}

const keyOf = ({ kind, emailCanonical }: MailRequest) => `${kind} ${emailCanonical}`;
