import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { randomBytes } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { Clock, plusSeconds } from '../common/clock.js';
import { NotFound } from '../common/domain-error.js';
import type { Client, Principal } from '../common/principal.js';
import { Config } from '../config/config.js';
import { inTransaction } from '../database/transaction.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { RevocationRepository } from '../tokens/revocation.repository.js';
import { UserRepository } from '../users/user.repository.js';
import { InvalidCredentials } from './auth.errors.js';
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
  ) {}

  /** A new session for a user who has just proved who they are. */
  async open(userId: string, client: Client): Promise<TokenPair> {
    const now = this.clock.now();
    const absoluteExpiresAt = plusSeconds(now, this.config.sessionAbsoluteSeconds);
    const session: Session = {
      id: uuidv7(),
      userId,
      seed: randomBytes(32).toString('base64url'),
      generation: 0,
      createdAt: now,
      ...this.extend(absoluteExpiresAt, now),
      absoluteExpiresAt,
      endedAt: null,
      endReason: null,
      ...client,
    };
    await inTransaction(this.dataSource, async (transaction) => {
      // First, because it makes the logins of this user wait for each other: the limit below counts them all.
      if (!(await this.users.recordLogin(userId, now, transaction))) throw new InvalidCredentials('account_gone');
      await this.sessions.add(session, transaction);
      const surplus = (await this.sessions.findLive(userId, now, transaction)).slice(MAX_SESSIONS);
      await this.endWithin(transaction, surplus, 'too_many_sessions');
    });
    return this.tokensOf(session, now);
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

  /** Ends one session, if it has not ended. Its tokens are refused by everybody once this returns. */
  async end(id: string, reason: EndReason): Promise<void> {
    await inTransaction(this.dataSource, (transaction) => this.endWithin(transaction, [{ id }], reason));
  }

  /**
   * Ends one session of the caller.
   *
   * @throws NotFound when there is no such session, or it is somebody else's.
   */
  async endOwn(id: string, { userId }: Principal): Promise<void> {
    const session = await this.sessions.findById(id);
    if (session?.userId !== userId) throw new NotFound(session ? 'session_of_another_user' : 'no_such_session');
    await this.end(id, 'ended_by_user');
  }

  /** Ends every session of the caller. */
  async endAll({ userId }: Principal): Promise<void> {
    await inTransaction(this.dataSource, async (transaction) => {
      // Those that are expired by this clock and not yet by another instance's, too.
      const since = plusSeconds(this.clock.now(), -CLOCK_MARGIN_SECONDS);
      await this.endWithin(transaction, await this.sessions.findLive(userId, since, transaction), 'logout_all');
    });
  }

  private async endWithin(transaction: EntityManager, sessions: { id: string }[], reason: EndReason): Promise<void> {
    const now = this.clock.now();
    const ids = sessions.map(({ id }) => id);
    const ended = await this.sessions.end(ids, reason, now, transaction);
    await this.revocations.add(
      ended.map(({ id, accessExpiresAt }) => ({ kind: 'sid', value: id, expiresAt: accessExpiresAt, createdAt: now })),
      transaction,
    );
  }
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}

function secondsBetween(from: Date, to: Date): number {
  return Math.max(0, Math.floor((to.getTime() - from.getTime()) / 1000));
}
