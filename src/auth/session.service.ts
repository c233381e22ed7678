import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { randomBytes } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { AuditTrail, ownAction } from '../audit/audit-trail.js';
import { Clock, plusSeconds } from '../common/clock.js';
import { NotFound } from '../common/domain-error.js';
import type { Client, Principal } from '../common/principal.js';
import { Config } from '../config/config.js';
import { afterCommit, inTransaction } from '../database/transaction.js';
import { Outbox } from '../mail/outbox.js';
import { Metrics } from '../metrics/metrics.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { RevocationRepository } from '../tokens/revocation.repository.js';
import type { User } from '../users/user.entity.js';
import { UserRepository } from '../users/user.repository.js';
import { InvalidCredentials } from './auth.errors.js';
import { DeviceTokens } from './device-tokens.js';
import type { Authenticated } from './login.service.js';
import { PasswordAttempts } from './password-attempts.js';
import { RefreshTokens } from './refresh-token.js';
import type { EndReason, Session } from './session.entity.js';
import { SessionRepository, type Rotation } from './session.repository.js';

/** Live sessions of one user; one more ends the oldest (ASVS 7.1.2). */
export const MAX_SESSIONS = 10;

const CLOCK_MARGIN_SECONDS = 60;

/** What a client gets for a login or a refresh. Seconds, as of the answer. */
export interface TokenPair {
  accessToken: string;
  accessExpiresInSeconds: number;
  refreshToken: string;
  refreshExpiresInSeconds: number;
}

/** Opens, lists and ends sessions. To end one is to revoke it: both are one transaction. */
@Injectable()
export class SessionService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly sessions: SessionRepository,
    private readonly revocations: RevocationRepository,
    private readonly refreshTokens: RefreshTokens,
    private readonly accessTokens: AccessTokens,
    private readonly attempts: PasswordAttempts,
    private readonly devices: DeviceTokens,
    private readonly audit: AuditTrail,
    private readonly outbox: Outbox,
    private readonly metrics: Metrics,
  ) {}

  /**
   * A new session for a user who has just given the right password. From a place that the user has not come from before
   * they get a note, the very first one aside.
   *
   * @param authenticated as the password was checked against it.
   * @throws InvalidCredentials when the account has changed since.
   */
  async open(authenticated: Authenticated, client: Client): Promise<TokenPair & { deviceToken: string }> {
    const now = this.clock.now();
    const { user, device } = authenticated;
    const session = this.begin(user.id, client, now);
    const deviceToken = await this.attempts.settle(authenticated, async (transaction) => {
      // First, because it makes the logins of this user wait for each other: the limit below counts them all.
      if (!(await this.users.recordLogin(user, now, transaction))) {
        await this.noteChanged(authenticated, client, transaction);
        return undefined;
      }
      const isAfterFailure = await this.attempts.succeed(authenticated, transaction);
      const past = await this.sessions.findPast(user.id, client, now, transaction);
      if (!past.isFirst && !past.isKnownPlace) await this.tellOfNewPlace(user, client, now, transaction);
      await this.sessions.add(session, transaction);
      if (past.liveSessions >= MAX_SESSIONS) await this.endSurplus(user.id, now, transaction);
      const type = isAfterFailure ? 'authn_login_successafterfail' : 'authn_login_success';
      await this.audit.record({ type, ...ownAction(user.id, client, session.id) }, transaction);
      return this.devices.next(device, user.id, past.devices, now, transaction);
    });
    if (deviceToken === undefined) throw new InvalidCredentials('account_changed');
    this.metrics.sessionsOpened.inc();
    this.metrics.loginAttempts.inc({ result: 'success' });
    return { ...(await this.tokensOf(session, now)), deviceToken };
  }

  /** The instants that a login or a rotation at `now` gives a session. */
  extend(absoluteExpiresAt: Date, now: Date): Rotation {
    const expiresAt = earlier(plusSeconds(now, this.config.sessionIdleSeconds), absoluteExpiresAt);
    const accessExpiresAt = earlier(plusSeconds(now, this.config.accessTokenTtlSeconds), expiresAt);
    return { lastUsedAt: now, expiresAt, accessExpiresAt };
  }

  /** The tokens of the session's present generation. No access token outlives the session's `accessExpiresAt`. */
  async tokensOf(session: Session, now: Date): Promise<TokenPair> {
    const accessToken = await this.accessTokens.sign({
      userId: session.userId,
      sessionId: session.id,
      authenticatedAt: session.createdAt,
      issuedAt: now,
      expiresAt: session.accessExpiresAt,
    });
    return {
      accessToken,
      accessExpiresInSeconds: secondsBetween(now, session.accessExpiresAt),
      refreshToken: this.refreshTokens.mint(session, session.generation),
      refreshExpiresInSeconds: secondsBetween(now, session.expiresAt),
    };
  }

  /** The caller's live sessions, newest first. */
  list({ userId }: Principal): Promise<Session[]> {
    return this.sessions.findLive(userId, this.clock.now());
  }

  /**
   * Ends one session, if it has not ended. Its tokens are refused by everybody once this returns.
   *
   * @returns whether it was this call that ended it.
   */
  async end(id: string, reason: EndReason, client: Client): Promise<boolean> {
    return inTransaction(this.dataSource, async (transaction) => {
      const [ended] = await this.endWithin(transaction, [{ id }], reason);
      if (!ended) return false;
      const entry = ownAction(ended.userId, client, id);
      await this.audit.record({ type: 'session_logout', reason, ...entry }, transaction);
      return true;
    });
  }

  /**
   * Moves a live session to its next generation. Of any number of callers with the same one, one wins.
   *
   * @returns the session as it is then; undefined for the others.
   */
  renew(session: Session, now: Date, client: Client): Promise<Session | undefined> {
    const { id, userId, generation } = session;
    const rotation = this.extend(session.absoluteExpiresAt, now);
    return inTransaction(this.dataSource, async (transaction) => {
      if (!(await this.sessions.rotate(id, generation, now, rotation, transaction))) return undefined;
      await this.audit.record({ type: 'session_renewed', ...ownAction(userId, client, id) }, transaction);
      return { ...session, ...rotation, generation: generation + 1 };
    });
  }

  /** Ends up to `limit` sessions whose time is up, for the record: their tokens are dead already. @returns how many. */
  endExpired(limit: number): Promise<number> {
    const reason = 'expired';
    return inTransaction(this.dataSource, async (transaction) => {
      const ended = await this.sessions.endExpired(this.clock.now(), limit, transaction);
      const entry = { type: 'session_expired', actor: { type: 'system' } } as const;
      const entries = ended.map(({ id, userId }) => ({ ...entry, subjectId: userId, sessionId: id }));
      await this.audit.recordAll(entries, transaction);
      afterCommit(transaction, () => this.metrics.sessionsEnded.inc({ reason }, ended.length));
      return ended.length;
    });
  }

  /** A refresh token was used after the end of its session. Anybody's doing; its owner may want to know. */
  async noteUseAfterEnd({ id, userId }: Session, problem: 'ended' | 'expired', client: Client): Promise<void> {
    const entry = { actor: { type: 'anonymous' }, subjectId: userId, sessionId: id, client, reason: problem } as const;
    await this.audit.record({ type: 'session_use_after_expire', outcome: 'failure', ...entry });
  }

  /** A refresh token was used again: somebody else has it. Ends the session and tells its owner. */
  async endReplayed({ id, userId }: Session, client: Client): Promise<void> {
    const user = await this.users.findById(userId);
    await inTransaction(this.dataSource, async (transaction) => {
      const [ended] = await this.endWithin(transaction, [{ id }], 'refresh_token_replayed');
      const entry = { actor: { type: 'anonymous' }, subjectId: userId, sessionId: id, client } as const;
      await this.audit.record({ type: 'authn_token_reuse', outcome: 'failure', ...entry }, transaction);
      afterCommit(transaction, () => this.metrics.refreshReplays.inc());
      if (!ended || !user) return;
      const message = { kind: 'refresh_token_replayed', at: this.clock.now().toISOString() } as const;
      await this.outbox.add({ userId, email: user.email }, message, transaction);
    });
  }

  /** Ends a session for a service (RFC 7009), if it has not ended. @param clientId the service. */
  async revoke(id: string, clientId: string, client: Client): Promise<void> {
    await inTransaction(this.dataSource, async (transaction) => {
      const [ended] = await this.endWithin(transaction, [{ id }], 'revoked_by_client');
      if (!ended) return;
      const entry = {
        actor: { type: 'client', id: clientId },
        subjectId: ended.userId,
        sessionId: id,
        client,
      } as const;
      await this.audit.record({ type: 'authn_token_revoked', ...entry }, transaction);
    });
  }

  /**
   * Ends one session of the caller.
   *
   * @throws NotFound when there is no such session, or it is somebody else's.
   */
  async endOwn(id: string, { userId }: Principal, client: Client): Promise<void> {
    const session = await this.sessions.findById(id);
    if (!session) throw new NotFound('no_such_session');
    if (session.userId !== userId) {
      const entry = { actor: { type: 'user', id: userId }, client, reason: 'session_of_another_user' } as const;
      await this.audit.record({ type: 'authz_fail', outcome: 'failure', ...entry });
      throw new NotFound('session_of_another_user');
    }
    await this.end(id, 'ended_by_user', client);
  }

  /** Ends every session of the caller. */
  async endAll({ userId }: Principal, client: Client): Promise<void> {
    await inTransaction(this.dataSource, async (transaction) => {
      await this.endAllWithin(transaction, userId, 'logout_all');
      const entry = ownAction(userId, client);
      await this.audit.record({ type: 'session_logout', reason: 'logout_all', ...entry }, transaction);
    });
  }

  /** Ends the sessions of a user as a part of something larger. @param exceptId a session that goes on. */
  async endAllWithin(
    transaction: EntityManager,
    userId: string,
    reason: EndReason,
    exceptId?: string,
  ): Promise<Session[]> {
    // Those that are expired by this clock and not yet by another instance's, too.
    const since = plusSeconds(this.clock.now(), -CLOCK_MARGIN_SECONDS);
    const live = await this.sessions.findLive(userId, since, transaction);
    const others = live.filter(({ id }) => id !== exceptId);
    return this.endWithin(transaction, others, reason);
  }

  /** The password was right when it was looked at, and may be the old one by now: a failed login that counts for no lock. */
  private async noteChanged(authenticated: Authenticated, client: Client, transaction: EntityManager): Promise<void> {
    const reason = 'account_changed';
    const entry = { actor: { type: 'anonymous' }, subjectId: authenticated.user.id, client, reason } as const;
    await this.attempts.giveBack(authenticated, transaction);
    await this.audit.record({ type: 'authn_login_fail', outcome: 'failure', ...entry }, transaction);
    afterCommit(transaction, () => this.metrics.loginAttempts.inc({ result: reason }));
  }

  private begin(userId: string, { ip, userAgent }: Client, now: Date): Session {
    const absoluteExpiresAt = plusSeconds(now, this.config.sessionAbsoluteSeconds);
    return {
      id: uuidv7(),
      userId,
      seed: randomBytes(32).toString('base64url'),
      generation: 0,
      createdAt: now,
      ...this.extend(absoluteExpiresAt, now),
      absoluteExpiresAt,
      endedAt: null,
      endReason: null,
      ip,
      userAgent,
    };
  }

  private async tellOfNewPlace(user: User, client: Client, now: Date, transaction: EntityManager): Promise<void> {
    const { ip, userAgent } = client;
    const message = { kind: 'new_sign_in', at: now.toISOString(), ip, userAgent } as const;
    await this.outbox.add({ userId: user.id, email: user.email }, message, transaction);
  }

  private async endSurplus(userId: string, now: Date, transaction: EntityManager): Promise<void> {
    const surplus = (await this.sessions.findLive(userId, now, transaction)).slice(MAX_SESSIONS);
    await this.endWithin(transaction, surplus, 'too_many_sessions');
  }

  private async endWithin(
    transaction: EntityManager,
    sessions: { id: string }[],
    reason: EndReason,
  ): Promise<Session[]> {
    const now = this.clock.now();
    const ids = sessions.map(({ id }) => id);
    const ended = await this.sessions.end(ids, reason, now, transaction);
    afterCommit(transaction, () => this.metrics.sessionsEnded.inc({ reason }, ended.length));
    await this.revocations.add(
      ended.map(({ id, accessExpiresAt }) => ({ kind: 'sid', value: id, expiresAt: accessExpiresAt, createdAt: now })),
      transaction,
    );
    return ended;
  }
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}

function secondsBetween(from: Date, to: Date): number {
  return Math.max(0, Math.floor((to.getTime() - from.getTime()) / 1000));
}
