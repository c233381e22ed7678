import { Injectable } from '@nestjs/common';
import { InvalidRefreshToken } from '../auth/auth.errors.js';
import { RefreshService } from '../auth/refresh.service.js';
import { SessionService } from '../auth/session.service.js';
import { InvalidToken } from '../common/domain-error.js';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { looksLikeJwt } from './introspection.service.js';
import type { ServiceClient } from './service-client.entity.js';

/** Ends sessions for services (RFC 7009). */
@Injectable()
export class TokenRevocationService {
  constructor(
    private readonly config: Config,
    private readonly accessTokens: AccessTokens,
    private readonly refreshes: RefreshService,
    private readonly sessions: SessionService,
  ) {}

  /** Ends the session of a token that is for an audience of the client; otherwise nothing happens, and nobody is told. */
  async revoke(token: string, { id, audiences }: ServiceClient, from: Client): Promise<void> {
    if (!audiences.includes(this.config.audience)) return;
    const sessionId = await this.sessionOf(token);
    if (sessionId !== undefined) await this.sessions.revoke(sessionId, id, from);
  }

  private async sessionOf(token: string): Promise<string | undefined> {
    try {
      if (looksLikeJwt(token)) return (await this.accessTokens.authenticate(token)).sid;
      return (await this.refreshes.authenticate(token)).session.id;
    } catch (error) {
      if (error instanceof InvalidToken || error instanceof InvalidRefreshToken) return undefined;
      throw error;
    }
  }
}
