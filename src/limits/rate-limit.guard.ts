import {
  applyDecorators,
  Injectable,
  SetMetadata,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { clientOf } from '../common/principal.js';
import { Config } from '../config/config.js';
import { BudgetRefusals } from './budget-refusals.js';
import { clientBlock } from './client-block.js';
import { RateLimits, type Budget } from './rate-limits.js';

const BUDGET = Symbol('budget');

/**
 * Every request of the route uses one point of the client address's budget. Declared below the other guards of a route: the
 * lowest runs first.
 */
export const RateLimited = (budget: Budget) => applyDecorators(SetMetadata(BUDGET, budget), UseGuards(RateLimitGuard));

/**
 * Refuses the requests of a client address whose budget is spent, before anything else is done for them. The RateLimit
 * fields (draft-ietf-httpapi-ratelimit-headers) tell of this budget alone: what is counted for an account is nobody's
 * business who does not own it.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly config: Config,
    private readonly limits: RateLimits,
    private readonly refusals: BudgetRefusals,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const budget = this.reflector.get<Budget>(BUDGET, context.getHandler());
    return this.config.rateLimits === 'off' || this.use(budget, context);
  }

  private async use(budget: Budget, context: ExecutionContext): Promise<true> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const client = clientOf(request);
    const address = clientBlock(client.ip);
    const use = await this.limits.use(budget, address);
    context
      .switchToHttp()
      .getResponse<FastifyReply>()
      .header('RateLimit-Policy', `"${budget}";q=${use.points};w=${use.windowSeconds}`)
      .header('RateLimit', `"${budget}";r=${use.remaining};t=${use.resetSeconds}`);
    if (use.isAllowed) return true;
    return this.refusals.refuse(budget, use, { actor: { type: 'anonymous' }, client, details: { address } });
  }
}
