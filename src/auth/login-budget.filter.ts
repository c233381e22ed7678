import { Catch, Injectable, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { clientOf } from '../common/principal.js';
import { ProblemFilter, toDomainError } from '../common/problem.filter.js';
import { clientBlock } from '../limits/client-block.js';
import { RateLimits } from '../limits/rate-limits.js';

/** A login that fails through us (a full queue, a database that does not answer) costs the client address nothing. */
@Injectable()
@Catch()
export class LoginBudgetFilter implements ExceptionFilter {
  private readonly problems = new ProblemFilter();

  constructor(private readonly limits: RateLimits) {}

  async catch(thrown: unknown, host: ArgumentsHost): Promise<void> {
    const { kind } = toDomainError(thrown);
    if (kind === 'unavailable' || kind === 'internal') {
      const request = host.switchToHttp().getRequest<FastifyRequest>();
      await this.limits.giveBack('login', clientBlock(clientOf(request).ip));
    }
    this.problems.catch(thrown, host);
  }
}
