import { Injectable, Logger } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { AuditTrail } from '../audit/audit-trail.js';
import { Config } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';

/** Hex digits of the SHA-1 that leave the process, of 40. */
const PREFIX_DIGITS = 5;
/** From the connection to the last byte of the answer. */
const TIMEOUT_MS = 1_000;
/** A padded range is about 40 KiB. */
const MAX_ANSWER_BYTES = 1_048_576;
const LINE = /^([0-9a-f]{35}):(\d+)$/i;

/**
 * The passwords of known breaches, as the Pwned Passwords range service at `HIBP_URL` has them (k-anonymity: it is told
 * five hex digits of a SHA-1, and answers with every entry that begins so).
 *
 * It is a help and no gate: when it does not answer, every password passes. That is counted, logged, and recorded when it
 * begins and when it ends.
 */
@Injectable()
export class BreachedPasswords {
  private readonly logger = new Logger(BreachedPasswords.name);
  /** What the audit trail says; a change that could not be written is tried again by the next check. */
  private isRecordedWorking = true;
  /** Changes are written one after the other, so that each is written once, in the order in which they came. */
  private recording = Promise.resolve();

  constructor(
    private readonly config: Config,
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Whether the password is known from a breach, within about a second. False without `HIBP_URL`, and when the service does
   * not answer as it should. Never throws. Must not be called in a transaction.
   *
   * @param password well-formed Unicode.
   */
  async has(password: string): Promise<boolean> {
    if (this.config.hibpUrl === '') return false;
    const digest = createHash('sha1').update(password.normalize('NFC'), 'utf8').digest('hex').toUpperCase();
    try {
      const range = await this.fetchRange(digest.slice(0, PREFIX_DIGITS));
      const isListed = isIn(range, digest.slice(PREFIX_DIGITS));
      await this.record(true);
      return isListed;
    } catch (error) {
      this.metrics.breachCheckFailures.inc();
      this.logger.warn({ event: 'breach_check_failed', err: error });
      await this.record(false);
      return false;
    }
  }

  private async fetchRange(prefix: string): Promise<string> {
    const response = await fetch(this.config.hibpUrl + prefix, {
      // Padding: the length of an encrypted answer must not tell which range it is.
      headers: { 'Add-Padding': 'true', 'User-Agent': 'gatehouse' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new UnusableAnswer(`status_${response.status}`);
    }
    return boundedText(response);
  }

  private record(isWorking: boolean): Promise<void> {
    this.recording = this.recording.then(() => this.recordChange(isWorking));
    return this.recording;
  }

  private async recordChange(isWorking: boolean): Promise<void> {
    if (isWorking === this.isRecordedWorking) return;
    try {
      await this.audit.record({
        type: isWorking ? 'sys_monitor_enabled' : 'sys_monitor_disabled',
        outcome: isWorking ? 'success' : 'failure',
        actor: { type: 'system' },
        reason: 'breached_password_check',
      });
      this.isRecordedWorking = isWorking;
    } catch (error) {
      this.logger.warn({ event: 'breach_check_not_recorded', err: error });
    }
  }
}

/** `code` is for the log; nothing of the answer is. */
class UnusableAnswer extends Error {
  override readonly name = 'UnusableAnswer';
  constructor(readonly code: string) {
    super(code);
  }
}

async function boundedText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new UnusableAnswer('too_large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}

/**
 * Whether a range, lines of `SUFFIX:COUNT`, has the suffix. A count of 0 is padding.
 *
 * @throws UnusableAnswer when any line is something else: half an answer, or not a range service's.
 */
function isIn(range: string, suffix: string): boolean {
  let isListed = false;
  for (const line of range.split(/\r?\n/)) {
    if (line === '') continue;
    const [, listed, count] = LINE.exec(line) ?? [];
    if (listed === undefined) throw new UnusableAnswer('malformed');
    if (listed.toUpperCase() === suffix && Number(count) > 0) isListed = true;
  }
  return isListed;
}
