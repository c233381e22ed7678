import { Injectable } from '@nestjs/common';
import { RefreshService } from '../auth/refresh.service.js';
import { InvalidRefreshToken } from '../auth/auth.errors.js';
import { sessionProblem } from '../auth/session.entity.js';
import { Clock, epochSeconds } from '../common/clock.js';
import { InvalidToken } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { AccessTokens, CLIENT_ID, type AccessTokenClaims } from '../tokens/access-tokens.js';
import { RevocationLookup } from '../tokens/revocation-lookup.js';
import type { ServiceClient } from './service-client.entity.js';

/** RFC 7662, section 2.2. */
export type Introspection = { active: false } | ({ active: true; token_type: string } & Record<string, unknown>);

export const INACTIVE = { active: false } as const;

/** Tells services what a token is worth now. */
@Injectable()
export class IntrospectionService {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly accessTokens: AccessTokens,
    private readonly revocations: RevocationLookup,
    private readonly refreshes: RefreshService,
  ) {}

  /**
   * What a token is worth, for a service that it is meant for: an access token by one look at the revocation table, a refresh
   * token by one at its session. Everything else is inactive, and why is nobody's business (RFC 7662, section 4).
   *
   * @param asked whether an access token is revoked, where the table has been asked already.
   * @throws Unavailable when the table cannot be read: never a yes and never a no.
   */
  async introspect(token: string, { audiences }: ServiceClient, asked?: Promise<boolean>): Promise<Introspection> {
    if (!audiences.includes(this.config.audience)) return INACTIVE;
    try {
      return looksLikeJwt(token) ? await this.accessToken(token, asked) : await this.refreshToken(token);
    } catch (error) {
      if (error instanceof InvalidToken || error instanceof InvalidRefreshToken) return INACTIVE;
      throw error;
    }
  }

  private async accessToken(token: string, asked?: Promise<boolean>): Promise<Introspection> {
    const claims = await this.accessTokens.verify(token);
    if (await (asked ?? this.revocations.isRevoked(claims))) return INACTIVE;
    return activeAccessToken(claims);
  }

  /** `token_type` keeps it apart from what opens a route. */
  private async refreshToken(token: string): Promise<Introspection> {
    const { session, generation } = await this.refreshes.authenticate(token);
    if (generation !== session.generation || sessionProblem(session, this.clock.now())) return INACTIVE;
    return {
      active: true,
      token_type: 'refresh_token',
      iss: this.config.issuer,
      aud: this.config.audience,
      sub: session.userId,
      client_id: CLIENT_ID,
      sid: session.id,
      auth_time: epochSeconds(session.createdAt),
      iat: epochSeconds(session.lastUsedAt),
      exp: epochSeconds(session.expiresAt),
    };
  }
}

/** The enumerable claims and no others. */
export function activeAccessToken(claims: AccessTokenClaims): Introspection {
  return { active: true, token_type: 'Bearer', ...claims };
}

/** Both kinds have three parts; a refresh token begins with a UUID, and no header of a JWT does. */
export function looksLikeJwt(token: string): boolean {
  return token.startsWith('eyJ');
}
