import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { InvalidRefreshToken } from './auth.errors.js';
import { RefreshTokens } from './refresh-token.js';
import { sessionProblem, type Session } from './session.entity.js';
import { SessionRepository } from './session.repository.js';
import { SessionService, type TokenPair } from './session.service.js';

/** Rotates refresh tokens (RFC 9700, section 4.14.2; ASVS 10.4.5). */
@Injectable()
export class RefreshService {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly tokens: RefreshTokens,
    private readonly rows: SessionRepository,
    private readonly sessions: SessionService,
  ) {}

  /**
   * The successor of a refresh token, with a new access token.
   *
   * The token of the present generation rotates the session; of many at once the database lets one. The one before it, and
   * those that lost, get the same successor within the leeway: a retry after a lost answer, or another tab. Anything
   * older, or later, is a replay: someone else has the token, and the session ends.
   *
   * @throws InvalidRefreshToken
   */
  async refresh(token: string, client: Client): Promise<TokenPair> {
    const arrivedAt = this.clock.now();
    const { session, generation } = await this.authenticate(token);
    const now = this.clock.now();
    const problem = sessionProblem(session, now);
    if (problem) {
      await this.sessions.noteUseAfterEnd(session, problem, client);
      throw new InvalidRefreshToken(problem);
    }
    const renewed = generation === session.generation ? await this.sessions.renew(session, now, client) : undefined;
    if (renewed) return this.sessions.tokensOf(renewed, now);
    return this.repeat(session.id, generation, arrivedAt, client);
  }

  /**
   * The session that a refresh token belongs to, live or not, and the token's generation.
   *
   * @throws InvalidRefreshToken when we did not make the token. The session is left alone: anybody can write its id.
   */
  async authenticate(token: string): Promise<{ session: Session; generation: number }> {
    const parsed = this.tokens.parse(token);
    if (!parsed) throw new InvalidRefreshToken('not_a_token');
    const session = await this.rows.findById(parsed.sessionId);
    if (!session || !this.tokens.isAuthentic(session, parsed)) throw new InvalidRefreshToken('not_authentic');
    return { session, generation: parsed.generation };
  }

  /**
   * For a token that did not rotate its session. The row is read again: it may have been a close race. What counts is when
   * the request arrived: one that waited for the winner of the race is no replay, however long it waited.
   */
  private async repeat(id: string, generation: number, arrivedAt: Date, client: Client): Promise<TokenPair> {
    const now = this.clock.now();
    const session = await this.rows.findById(id);
    const problem = session ? sessionProblem(session, now) : 'purged';
    if (!session || problem) throw new InvalidRefreshToken(problem ?? 'purged');

    const leewayMs = this.config.refreshLeewaySeconds * 1000;
    const isInTime = leewayMs > 0 && arrivedAt.getTime() - session.lastUsedAt.getTime() < leewayMs;
    const isRetry = isInTime && generation === session.generation - 1;
    if (isRetry) return this.sessions.tokensOf(session, now);

    await this.sessions.endReplayed(session, client);
    throw new InvalidRefreshToken('replayed');
  }
}
