import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { AuditEventType } from '../audit/audit-event.entity.js';
import { AuditTrail, type Actor } from '../audit/audit-trail.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { Unavailable } from '../common/domain-error.js';
import { MasterKeys } from '../common/master-keys.js';
import type { Client } from '../common/principal.js';
import { inTransaction } from '../database/transaction.js';
import { canonicalEmail } from '../users/email-address.js';
import type { User } from '../users/user.entity.js';
import { LoginFailureRepository, MAX_CONSECUTIVE_FAILURES } from './login-failure.repository.js';
import { MailRequestRepository } from './mail-request.repository.js';
import { PasswordHasher, type PasswordCheck } from './password-hasher.js';

/** PCI DSS 8.3.4: at least 30 minutes. */
export const LOCK_SECONDS = 1_800;

const WAIT_MS = 25;
const LONGEST_WAIT_MS = 15_000;
const RETRY_AFTER_SECONDS = 2;

/** Whose password is checked. */
export interface Candidate {
  /** The canonical address, or whatever was typed when it is none. */
  identifier: string;
  /** With `passwordHash`; null when there is no account. */
  user: User | null;
}

/** A check that was counted. */
export interface Attempt extends PasswordCheck {
  /** The password was not looked at: the account is locked. */
  isLocked: boolean;
}

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
 * that takes as long as looking. More checks at once than there are failures left wait for each other, so that people
 * with the right password are not taken for guesses.
 */
@Injectable()
export class PasswordAttempts {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly masterKeys: MasterKeys,
    private readonly failures: LoginFailureRepository,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
    private readonly mailRequests: MailRequestRepository,
  ) {}

  /**
   * Whether the password is that of the account. Without one, or while it is locked: equal work, so that time tells nothing
   * (OWASP Authentication Cheat Sheet, "Error Messages"). Call `fail` or `succeed` with what comes out.
   *
   * @throws Unavailable when the hash queue is full: nothing is counted then.
   */
  async check({ identifier, user }: Candidate, password: string): Promise<Attempt> {
    const account = this.accountOf(identifier);
    const isLocked = !(await this.reserve(account));
    try {
      const stored = user && !isLocked ? user : await this.hasher.decoy();
      const { matches, isOutdated } = await this.hasher.verify(stored, password);
      return { matches: matches && stored === user, isOutdated, isLocked };
    } catch (error) {
      if (!isLocked) await this.failures.giveBack(account);
      throw error;
    }
  }

  /** The password was wrong, or the account locked: counts and records it; the failure that locks is told by mail. */
  async fail({ identifier, user }: Candidate, { isLocked }: Attempt, event: FailureEvent): Promise<void> {
    const account = this.accountOf(identifier);
    const now = this.clock.now();
    const until = plusSeconds(now, LOCK_SECONDS);
    const about = user ? { subjectId: user.id } : { details: { account } };
    const reason = isLocked ? 'locked' : user ? 'wrong_password' : 'no_such_user';
    await inTransaction(this.dataSource, async (transaction) => {
      const isLast = await this.failures.fail(account, !isLocked, now, until, transaction);
      await this.audit.record({ ...event, ...about, outcome: 'failure', reason }, transaction);
      if (!isLast) return;
      const lock = { type: 'authn_login_lock', actor: { type: 'system' }, client: event.client } as const;
      await this.audit.record({ ...lock, ...about }, transaction);
      // Whose mail it is, is found out off the request: the tenth answer must not tell either.
      const emailCanonical = canonicalEmail(identifier);
      if (emailCanonical) await this.mailRequests.add({ kind: 'account_locked', emailCanonical }, transaction);
    });
  }

  /** The password was right. */
  succeed(identifier: string, transaction?: EntityManager): Promise<void> {
    return this.failures.succeed(this.accountOf(identifier), transaction ?? this.dataSource.manager);
  }

  /** The person has recovered the account: nothing counts against it any more. */
  forgive(identifier: string, transaction: EntityManager): Promise<void> {
    return this.failures.clear(this.accountOf(identifier), transaction);
  }

  /** Keeps nothing about an address. */
  forget(identifier: string, transaction: EntityManager): Promise<void> {
    return this.failures.delete(this.accountOf(identifier), transaction);
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

  /** Under what an address is counted and written down when it may be nobody's: its HMAC, 43 characters. */
  accountOf(identifier: string): string {
    return this.masterKeys.mac('account-identifier', Buffer.from(identifier)).toString('base64url');
  }

  /** @returns false when the account is locked. */
  private async reserve(account: string): Promise<boolean> {
    for (const deadline = performance.now() + LONGEST_WAIT_MS; performance.now() < deadline;) {
      const reservation = await this.failures.reserve(account, this.clock.now());
      if (reservation !== 'wait') return reservation === 'granted';
      await sleep(WAIT_MS * (0.5 + Math.random()));
    }
    throw new Unavailable('too_many_checks_of_one_account', RETRY_AFTER_SECONDS);
  }
}
