import { createParamDecorator, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ClientAuthentication } from './client-authentication.js';
import type { Parameters } from './client-credentials.js';
import { InvalidRequest } from './oauth.errors.js';
import type { ServiceClient } from './service-client.entity.js';

declare module 'fastify' {
  interface FastifyRequest {
    serviceClient?: ServiceClient;
  }
}

/** Lets services through that prove who they are. Use it with `@Public()`: they have no access token. */
@Injectable()
export class ClientGuard implements CanActivate {
  constructor(private readonly clients: ClientAuthentication) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    // An address is in logs and histories, so no assertion travels in one.
    const parameters = request.method === 'POST' ? parametersOf(request) : {};
    request.serviceClient = await this.clients.authenticate(request, parameters);
    return true;
  }
}

/** The service that calls. */
export const CallingClient = createParamDecorator((_: unknown, context: ExecutionContext): ServiceClient => {
  const { serviceClient } = context.switchToHttp().getRequest<FastifyRequest>();
  if (!serviceClient) throw new Error('@CallingClient() on a route without ClientGuard');
  return serviceClient;
});

/** A parameter of the form, or of the query of a GET. Those that nobody knows are ignored (RFC 6749, section 3.1). */
export const Parameter = createParamDecorator((name: string, context: ExecutionContext): string | undefined => {
  return parametersOf(context.switchToHttp().getRequest<FastifyRequest>())[name];
});

function parametersOf({ method, body, query }: FastifyRequest): Parameters {
  if (method !== 'GET') return (body ?? {}) as Parameters;
  for (const value of Object.values(query as Record<string, unknown>)) {
    if (typeof value !== 'string') throw new InvalidRequest('A parameter is sent twice.');
  }
  return query as Parameters;
}
