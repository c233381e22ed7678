import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { MasterKeys } from '../common/master-keys.js';
import type { Client } from '../common/principal.js';
import { inTransaction } from '../database/transaction.js';
import { Outbox } from '../mail/outbox.js';
import type { User } from '../users/user.entity.js';
import { LoginFailureRepository } from './login-failure.repository.js';
import { PasswordHasher, type PasswordCheck } from './password-hasher.js';

/** PCI DSS 8.3.4: at least 30 minutes. */
export const LOCK_SECONDS = 1_800;

/** A check that was counted. */
export interface Attempt extends PasswordCheck {
  /** The password was not looked at: the account is locked. */
  isLocked: boolean;
}

/**
 * Every check of a password goes through here: counted before the hash is computed, by account, in the database. Ten
 * failures lock for 30 minutes, which further tries do not extend; a locked account's password is not looked at, and
 * that takes as long as looking.
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
    private readonly outbox: Outbox,
  ) {}

  /**
   * Whether the password is that of the account.
   *
   * @param identifier the canonical address, or whatever was typed when it is none.
   * @param user with `passwordHash`; null when there is no account: equal work, so that time tells nothing (OWASP
   * Authentication Cheat Sheet, "Error Messages").
   * @throws Unavailable when the hash queue is full. The failure stays counted.
   */
  async check(identifier: string, user: User | null, password: string, client: Client): Promise<Attempt> {
    const now = this.clock.now();
    const until = plusSeconds(now, LOCK_SECONDS);
    const { isGranted, isLast } = await this.failures.reserve(this.accountOf(identifier), now, until);
    const stored = isGranted && user ? user : await this.hasher.decoy();
    const check = await this.hasher.verify(stored, password);
    const matches = check.matches && stored === user;
    if (isLast && !matches) await this.tellOfLock(identifier, user, until, client);
    return { ...check, matches, isLocked: !isGranted };
  }

  /** The password was right, or the person has recovered the account: nothing counts against it any more. */
  forgive(identifier: string, transaction: EntityManager): Promise<void> {
    return this.failures.clear(this.accountOf(identifier), transaction);
  }

  /** Keeps nothing about an address. */
  forget(identifier: string, transaction: EntityManager): Promise<void> {
    return this.failures.delete(this.accountOf(identifier), transaction);
  }

  /** When the present lock of an account ends; null when it is not locked. */
  async lockedUntil(identifier: string): Promise<Date | null> {
    const lockedUntil = (await this.failures.find(this.accountOf(identifier)))?.lockedUntil ?? null;
    return lockedUntil && lockedUntil > this.clock.now() ? lockedUntil : null;
  }

  /** Under what an address is counted and written down when it may be nobody's: its HMAC, 43 characters. */
  accountOf(identifier: string): string {
    return this.masterKeys.mac('account-identifier', Buffer.from(identifier)).toString('base64url');
  }

  private async tellOfLock(identifier: string, user: User | null, until: Date, client: Client): Promise<void> {
    await inTransaction(this.dataSource, async (transaction) => {
      const about = user ? { subjectId: user.id } : { details: { account: this.accountOf(identifier) } };
      const actor = { type: 'anonymous' } as const;
      await this.audit.record({ type: 'authn_login_lock', actor, client, reason: 'failures', ...about }, transaction);
      if (!user) return;
      const message = { kind: 'account_locked', until: until.toISOString() } as const;
      await this.outbox.add({ userId: user.id, email: user.email }, message, transaction);
    });
  }
}
