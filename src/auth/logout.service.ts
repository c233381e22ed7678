import { Injectable } from '@nestjs/common';
import type { Client } from '../common/principal.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { RefreshService } from './refresh.service.js';
import { SessionService } from './session.service.js';

/**
 * Ends the session of a token. Idempotent: a token that we made says which session is meant, also when it has expired
 * or was revoked; a client that lost the first answer gets the same one again.
 */
@Injectable()
export class LogoutService {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly refreshes: RefreshService,
    private readonly sessions: SessionService,
  ) {}

  /** @throws InvalidToken when it is not ours. */
  async byAccessToken(token: string, client: Client): Promise<void> {
    const { sid } = await this.accessTokens.authenticate(token);
    await this.sessions.end(sid, 'logout', client);
  }

  /** @throws InvalidRefreshToken when it is not ours. */
  async byRefreshToken(token: string, client: Client): Promise<void> {
    const { session } = await this.refreshes.authenticate(token);
    await this.sessions.end(session.id, 'logout', client);
  }
}
