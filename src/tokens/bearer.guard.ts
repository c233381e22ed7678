import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { InvalidToken } from '../common/domain-error.js';
import { IS_PUBLIC } from '../common/principal.js';
import { AccessTokens } from './access-tokens.js';
import { RevocationLookup } from './revocation-lookup.js';

/**
 * Deny by default: registered once for every route, and only `@Public()` takes a route out. A token passes when its
 * signature, its claims and its time are good and the revocation table, asked now, has neither its session nor its account nor
 * the key that signed it.
 */
@Injectable()
export class BearerGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: AccessTokens,
    private readonly revocations: RevocationLookup,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.reflector.getAllAndOverride<boolean>(IS_PUBLIC, [context.getHandler(), context.getClass()])) return true;
    return this.check(context.switchToHttp().getRequest<FastifyRequest>());
  }

  private async check(request: FastifyRequest): Promise<true> {
    const claims = await this.tokens.verify(bearerToken(request));
    const isRevoked = this.revocations.handedOver.take(request.raw) ?? this.revocations.isRevoked(claims);
    if (await isRevoked) throw new InvalidToken('revoked');
    request.principal = { userId: claims.sub, sessionId: claims.sid };
    return true;
  }
}

/**
 * The token of the Authorization header (RFC 6750, section 2.1): the only place where one is accepted.
 *
 * @throws InvalidToken when there is none.
 */
export function bearerToken(request: FastifyRequest): string {
  const { authorization } = request.headers;
  if (authorization === undefined) throw new InvalidToken('no_token');
  const token = bearerOf(authorization);
  if (token === undefined) throw new InvalidToken('not_bearer');
  return token;
}

/** The token in the value of an Authorization header, if that is what it holds. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1];
}
