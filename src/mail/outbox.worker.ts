import { Injectable, Logger, Optional } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackgroundLoop } from '../common/background-loop.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import { Config } from '../config/config.js';
import { serviceName } from '../config/service-name.js';
import { MailTransport, type OutgoingMail } from './mail-transport.js';
import { layOut } from './message-layout.js';
import { compose, type Message } from './messages.js';
import type { OutboxMessage } from './outbox-message.entity.js';
import { contextOf } from './outbox.js';
import { OutboxRepository } from './outbox.repository.js';

const INTERVAL_MS = 1_000;
const BATCH = 20;
const LANES = 5;
const FIRST_BACK_OFF_SECONDS = 5;
const LONGEST_BACK_OFF_SECONDS = 3_600;

/** How long things may take. */
export interface SendingLimits {
  /** A row that somebody claimed is anybody's again after so many seconds. */
  leaseSeconds: number;
  /** One mail from connection to answer, in milliseconds. Shorter than the lease: nobody else has begun by then. */
  deadlineMs: number;
  /** How long `stop` lets a mail go on that is being sent, in milliseconds. */
  stopMs: number;
}

const LIMITS: SendingLimits = { leaseSeconds: 60, deadlineMs: 45_000, stopMs: 10_000 };

/**
 * Sends what is in the outbox, on every instance. A row is sent by whoever counts up its attempts; if that one dies, by
 * another when the lease is over. So each mail is sent at least once, and again only when an answer was lost.
 */
@Injectable()
export class OutboxWorker {
  private readonly logger = new Logger(OutboxWorker.name);
  private readonly loop = new BackgroundLoop('outbox', INTERVAL_MS, async (isStopping) => {
    await this.deliverDue(isStopping);
  });
  private readonly sending = new Set<AbortController>();

  constructor(
    private readonly rows: OutboxRepository,
    private readonly masterKeys: MasterKeys,
    private readonly transport: MailTransport,
    private readonly config: Config,
    private readonly clock: Clock,
    @Optional() private readonly limits: SendingLimits = LIMITS,
  ) {}

  /** From now on there is a round every second. */
  start(): void {
    this.loop.start();
  }

  /** No further mail. Those that are being sent have a moment to finish, and are tried again later if they do not. */
  async stop(): Promise<void> {
    const timer = setTimeout(() => {
      for (const abort of this.sending) abort.abort('stopping');
    }, this.limits.stopMs);
    await this.loop.stop();
    clearTimeout(timer);
  }

  /**
   * One round: tries everything that is due.
   *
   * @returns how many mails were sent.
   */
  async deliverDue(isStopping: () => boolean = () => false): Promise<number> {
    let sent = 0;
    for (;;) {
      const due = await this.findDue();
      const queue = due.values(); // one for all lanes: each row is taken by one
      const lane = async () => {
        for (const row of queue) {
          if (isStopping()) return;
          if (await this.deliver(row)) sent += 1;
        }
      };
      const lanes = await Promise.allSettled(Array.from({ length: LANES }, lane));
      // Only when all have ended: nothing goes on behind the back of whoever waits for the round.
      for (const result of lanes) if (result.status === 'rejected') throw result.reason;
      if (due.length < BATCH || isStopping()) return sent;
    }
  }

  private findDue(): Promise<OutboxMessage[]> {
    const now = this.clock.now();
    return this.transport.isConfigured ? this.rows.findDue(now, BATCH) : this.rows.findGivenUp(now, BATCH);
  }

  /** @returns whether the mail was sent, by us. */
  private async deliver(row: OutboxMessage): Promise<boolean> {
    if (!this.transport.isConfigured) return this.bury(row, 'no_smtp_url');
    // Somebody began the last attempt, and has told nobody how it ended.
    if (row.nextAttemptAt !== null && row.nextAttemptAt > row.givesUpAt) return this.bury(row, 'no_outcome');
    const now = this.clock.now();
    if (!(await this.rows.claim(row, now, plusSeconds(now, this.limits.leaseSeconds)))) return false;
    const ours = { ...row, attempts: row.attempts + 1 };
    const content = this.masterKeys.open('mail-content', row.content ?? '', contextOf(row));
    if (content === undefined) return this.bury(ours, 'content_not_openable');
    const problem = await this.trySending(ours, content);
    if (problem !== undefined) return this.putOff(ours, problem);
    await this.noteSent(row.id);
    this.logger.log({ event: 'mail_sent', mail_id: row.id, kind: row.kind, attempts: ours.attempts });
    return true;
  }

  /** @returns a code that says why it failed; undefined when it did not. */
  private async trySending(row: OutboxMessage, content: string): Promise<string | undefined> {
    const abort = new AbortController();
    const deadline = setTimeout(() => abort.abort('deadline'), this.limits.deadlineMs);
    this.sending.add(abort);
    try {
      await this.transport.send(this.mailOf(row, JSON.parse(content) as Message), abort.signal);
      return undefined;
    } catch (error) {
      return abort.signal.aborted ? String(abort.signal.reason) : codeOf(error);
    } finally {
      clearTimeout(deadline);
      this.sending.delete(abort);
    }
  }

  private mailOf({ id, recipient, createdAt }: OutboxMessage, message: Message): OutgoingMail {
    const { verifyUrl, resetUrl } = this.config;
    const service = serviceName(this.config);
    const letter = compose(message, { service, verifyUrl, resetUrl, storedAt: createdAt });
    const link = letter.blocks.find((block) => block.type === 'link')?.url ?? null;
    return { id, to: recipient, subject: letter.subject, ...layOut(letter, service), link, createdAt };
  }

  private async putOff(row: OutboxMessage, code: string): Promise<false> {
    const now = this.clock.now();
    if (now >= row.givesUpAt) return this.bury(row, code);
    const next = plusSeconds(now, backOffSeconds(row.attempts));
    const until = next < row.givesUpAt ? next : row.givesUpAt; // the last attempt is when the time is up
    await this.rows.putOff(row.id, row.attempts, until, code);
    this.logger.warn({ event: 'mail_failed', mail_id: row.id, kind: row.kind, attempts: row.attempts, code });
    return false;
  }

  private async bury({ id, kind, attempts }: OutboxMessage, code: string): Promise<false> {
    if (await this.rows.markDead(id, attempts, this.clock.now(), code)) {
      this.logger.error({ event: 'mail_dead', mail_id: id, kind, attempts, code });
    }
    return false;
  }

  /** The server has the mail; a database that stumbles just now is no reason to send it again. */
  private async noteSent(id: string): Promise<void> {
    for (let pauseMs = 100; ; pauseMs *= 2) {
      try {
        return await this.rows.markSent(id, this.clock.now());
      } catch (error) {
        if (pauseMs > 5_000) throw error;
        await sleep(pauseMs);
      }
    }
  }
}

/**
 * Seconds to wait after attempt number `attempt` failed: 5, doubled each time, at most an hour, give or take a fifth, so
 * that what failed together does not come back together.
 *
 * @param random 0 to 1.
 */
export function backOffSeconds(attempt: number, random = Math.random()): number {
  const seconds = Math.min(FIRST_BACK_OFF_SECONDS * 2 ** (attempt - 1), LONGEST_BACK_OFF_SECONDS);
  return seconds * (0.8 + 0.4 * random);
}

/** What is safe to keep of an error: codes. Its message may quote the server, and that the address or the mail. */
function codeOf(error: unknown): string {
  const { name, code, originalCode, responseCode } = error as Record<string, unknown>;
  const codes = [code ?? name, originalCode, responseCode].filter(isCode);
  return codes.join(' ') || 'unknown';
}

function isCode(part: unknown): boolean {
  return typeof part === 'number' || (typeof part === 'string' && /^\w{1,60}$/.test(part));
}
