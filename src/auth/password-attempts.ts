import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { AuditEventType } from '../audit/audit-event.entity.js';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { Unavailable } from '../common/domain-error.js';
import { MasterKeys } from '../common/master-keys.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { afterCommit, inTransaction } from '../database/transaction.js';
import { Metrics } from '../metrics/metrics.js';
import { canonicalEmail } from '../users/email-address.js';
import type { User } from '../users/user.entity.js';
import type { FailureReason } from './auth.errors.js';
import type { Device } from './device.entity.js';
import { LoginFailureRepository, MAX_CONSECUTIVE_FAILURES, type Settlement } from './login-failure.repository.js';
import { MailRequestRepository } from './mail-request.repository.js';
import { PasswordHasher, type PasswordCheck } from './password-hasher.js';

/**
 * Between two looks whether there is room, doubled each time: hundreds who wait must not keep the row busy. The first is
 * short: after the decoy those who were ahead have mostly ended.
 */
const FIRST_WAIT_MS = 4;
const LONGEST_PAUSE_MS = 200;
const LONGEST_WAIT_MS = 15_000;
const RETRY_AFTER_SECONDS = 2;
/** Addresses without an account share so many counters: there is no end of addresses, and of rows there must be one. */
export const UNKNOWN_COUNTERS = 4_096;

/** Whose password is checked. */
export interface Candidate {
  /** The canonical address, or whatever was typed when it is none. */
  identifier: string;
  /** With `passwordHash`; null when there is no account. */
  user: User | null;
  /** One that shows the token of an earlier login: what fails there is counted by itself. */
  device?: Device | undefined;
}

/** What came of a check. What failed is counted and recorded; what matched is to be settled. */
export type Attempt = { matches: true; user: User; isOutdated: boolean } | { matches: false; reason: FailureReason };

/** How a failure is recorded. */
export interface FailureEvent {
  type: AuditEventType;
  actor: Actor;
  sessionId?: string;
  client: Client;
}

/**
 * Every check of a password goes through here: counted before the hash is computed, by account, in the database. Ten
 * failures lock for 30 minutes, which further tries do not extend; a locked account's password is not looked at, and
 * that takes as long as looking. Nor is it while as many looks are under way as there are failures left: whether that was
 * a lock turns out when they have ended, so that people with the right password are not taken for guesses.
 */
@Injectable()
export class PasswordAttempts {
  private readonly logger = new Logger(PasswordAttempts.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly masterKeys: MasterKeys,
    private readonly failures: LoginFailureRepository,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
    private readonly mailRequests: MailRequestRepository,
    private readonly metrics: Metrics,
  ) {}

  /**
   * Whether the password is that of the account. Without one, or while there is to be no look: equal work, so that time
   * tells nothing (OWASP Authentication Cheat Sheet, "Error Messages"). So nobody waits for anybody before the hash: who
   * waits shows that there are others, and failures left. A wrong one is counted and recorded as `event`, and the failure
   * that locks is told by mail. After a right one call `succeed`, within `settle`.
   *
   * @param isRefused the password is not to be looked at, whatever was counted here.
   * @throws Unavailable when the hash queue is full, or those ahead take too long: nothing is counted then.
   */
  async check(candidate: Candidate, password: string, event: FailureEvent, isRefused = false): Promise<Attempt> {
    const counter = this.counterOf(candidate);
    const { user } = candidate;
    let deadline: number | undefined;
    for (let pauseMs = FIRST_WAIT_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const isGranted = !isRefused && (await this.failures.reserve(counter, this.clock.now()));
      if (isGranted || deadline === undefined) {
        const { matches, isOutdated } = await this.verify(candidate, isGranted, password);
        if (user && matches) return { matches, user, isOutdated };
        deadline ??= performance.now() + LONGEST_WAIT_MS;
      }
      const reason = await this.fail(candidate, isGranted, isRefused, event);
      if (reason) return { matches: false, reason };
      if (performance.now() > deadline) throw new Unavailable('too_many_checks_of_one_account', RETRY_AFTER_SECONDS);
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }

  /**
   * Does in one transaction what follows a right password, `succeed` among it. Where that fails the check did not take
   * place: it must not lapse into a failure.
   */
  async settle<T>(candidate: Candidate, work: (transaction: EntityManager) => Promise<T>): Promise<T> {
    try {
      return await inTransaction(this.dataSource, work);
    } catch (error) {
      await this.giveBack(candidate).catch((err: unknown) => this.logger.warn({ event: 'check_not_given_back', err }));
      throw error;
    }
  }

  /** The password was right, and opens nothing for another reason. Counts neither as a success nor as a failure. */
  giveBack(candidate: Candidate, transaction?: EntityManager): Promise<void> {
    return this.failures.giveBack(this.counterOf(candidate), true, transaction);
  }

  /**
   * The password was right.
   *
   * @returns whether there had been failures.
   */
  succeed(candidate: Candidate, transaction: EntityManager): Promise<boolean> {
    return this.failures.succeed(this.counterOf(candidate), transaction);
  }

  /** The person has recovered the account: nothing counts against it any more. */
  forgive(identifier: string, transaction: EntityManager): Promise<void> {
    return this.failures.clear(this.accountOf(identifier), transaction);
  }

  /** Keeps nothing about addresses whose account is gone, nor what was counted before the master key changed. */
  forget(identifiers: string[], transaction: EntityManager): Promise<void> {
    return this.failures.delete(this.accountsUnderEveryKey(identifiers), transaction);
  }

  /**
   * Deletes what was counted for these addresses under other master keys than the newest, and not touched since `before`:
   * a few days' difference between instances does not undo a lock. The rows that are in use stay, however old: a try that
   * had to make its counter would tell. @returns how many.
   */
  purgeFormer(identifiers: string[], before: Date): Promise<number> {
    const present = new Set(identifiers.map((identifier) => this.accountOf(identifier)));
    const former = this.accountsUnderEveryKey(identifiers).filter((account) => !present.has(account));
    return this.failures.purge(former, before);
  }

  /** When the present lock of an account ends, null without one; and whether no password opens it before a recovery. */
  async stateOf(identifier: string): Promise<{ lockedUntil: Date | null; isPasswordDisabled: boolean }> {
    const row = await this.failures.find(this.accountOf(identifier));
    const lockedUntil = row?.lockedUntil ?? null;
    return {
      lockedUntil: lockedUntil && lockedUntil > this.clock.now() ? lockedUntil : null,
      isPasswordDisabled: (row?.consecutive ?? 0) >= MAX_CONSECUTIVE_FAILURES,
    };
  }

  /** Under what an address is written down when it may be nobody's: its HMAC, 43 characters. */
  accountOf(identifier: string): string {
    return this.digestOf(identifier).toString('base64url');
  }

  /** Under what the failures of a candidate are counted, at most 43 characters. */
  counterOf({ identifier, user, device }: Candidate): string {
    if (device) return `device.${device.id}`;
    if (user) return this.accountOf(identifier);
    return unknownCounter(this.bucketOf(identifier));
  }

  /** One of `UNKNOWN_COUNTERS` numbers for an address, whether it has an account or not. */
  bucketOf(identifier: string): number {
    return this.digestOf(identifier).readUInt16BE() % UNKNOWN_COUNTERS;
  }

  /**
   * Makes the counters that addresses without an account share, where they are missing. Those of accounts are made with
   * them: a try that had to make its counter would take longer, and tell which of the two it was.
   */
  async prepare(): Promise<void> {
    if ((await this.failures.count(UNKNOWN)) === UNKNOWN_COUNTERS) return; // as at every start but the first
    const counters = Array.from({ length: UNKNOWN_COUNTERS }, (_, bucket) => unknownCounter(bucket));
    await this.failures.ensure(counters, this.clock.now());
  }

  /** Makes the counters of new accounts. */
  async begin(identifiers: string[], transaction: EntityManager): Promise<void> {
    const counters = identifiers.map((identifier) => this.accountOf(identifier));
    await this.failures.ensure(counters, this.clock.now(), transaction);
  }

  private accountsUnderEveryKey(identifiers: string[]): string[] {
    const macs = identifiers.flatMap((one) => this.masterKeys.macs('account-identifier', Buffer.from(one)));
    return macs.map((mac) => mac.toString('base64url'));
  }

  private digestOf(identifier: string): Buffer {
    return this.masterKeys.mac('account-identifier', Buffer.from(identifier));
  }

  private subjectOf({ identifier, user }: Candidate): { subjectId: string } | { details: { account: string } } {
    return user ? { subjectId: user.id } : { details: { account: this.accountOf(identifier) } };
  }

  private async tellOfLock(
    candidate: Candidate,
    { isLock, isLast }: Settlement,
    client: Client,
    transaction: EntityManager,
  ): Promise<void> {
    if (!isLock && !isLast) return;
    const type = isLast ? 'authn_login_fail_max' : 'authn_login_lock';
    const entry = { actor: { type: 'system' }, client, ...this.subjectOf(candidate) } as const;
    await this.audit.record({ type, ...entry, ...(candidate.device && { reason: 'known_device' }) }, transaction);
    // Addresses without an account share counters, and of many tries some of those fill up: that locks nobody.
    if (candidate.user) afterCommit(transaction, () => this.metrics.locks.inc({ kind: isLast ? 'disable' : 'lock' }));
    // Whose mail it is, is found out off the request: the tenth answer must not tell either.
    const emailCanonical = canonicalEmail(candidate.identifier);
    const kind = isLast ? 'password_blocked' : 'account_locked';
    if (emailCanonical) await this.mailRequests.add({ kind, emailCanonical }, client, transaction);
  }

  /** @param isLook otherwise the decoy's hash is computed. */
  private async verify(candidate: Candidate, isLook: boolean, password: string): Promise<PasswordCheck> {
    try {
      const stored = candidate.user && isLook ? candidate.user : this.hasher.decoy;
      const { matches, isOutdated } = await this.hasher.verify(stored, password);
      return { matches: matches && stored === candidate.user, isOutdated };
    } catch (error) {
      await this.failures.giveBack(this.counterOf(candidate), isLook);
      throw error;
    }
  }

  /**
   * Settles and records what did not match.
   *
   * @returns why it failed; undefined when there was no look, for no lock but for those that were under way.
   */
  private async fail(
    candidate: Candidate,
    isGranted: boolean,
    isRefused: boolean,
    event: FailureEvent,
  ): Promise<FailureReason | undefined> {
    const { user } = candidate;
    const failure = { isGranted, isShared: !user };
    const now = this.clock.now();
    const until = plusSeconds(now, this.config.lockSeconds);
    return inTransaction(this.dataSource, async (transaction) => {
      const settlement = await this.failures.fail(this.counterOf(candidate), failure, now, until, transaction);
      if (!isGranted && !isRefused && !settlement.isLocked) return undefined;
      // Who has no account first: a counter that many share is often locked, and would hide that nobody has this address.
      const reason = !user ? 'no_such_user' : isGranted ? 'wrong_password' : 'locked';
      await this.audit.record({ ...event, ...this.subjectOf(candidate), outcome: 'failure', reason }, transaction);
      await this.tellOfLock(candidate, settlement, event.client, transaction);
      return reason;
    });
  }
}

const UNKNOWN = 'unknown.';
const unknownCounter = (bucket: number) => `${UNKNOWN}${bucket}`;
