import { authenticateRequest, type AdapterOptions, type Auth, type IncomingRequest } from './bearer.js';
import type { Verifier } from './verifier.js';

export type { AdapterOptions, Auth, Refusal, RequestRefusalReason } from './bearer.js';

/** Nest's own, from `@nestjs/common`. */
type HttpExceptionClass = new (body: Record<string, unknown>, status: number) => Error;

interface HttpContext {
  switchToHttp(): { getRequest(): unknown; getResponse(): unknown };
}

/**
 * A Nest guard: `request.auth` for who has a good token, an HttpException of 401, 400 or 503 for everybody else, which your
 * filters see like any other. This package does not import Nest, so it is given the class.
 *
 *     app.useGlobalGuards(createGuard(verifier, HttpException));
 */
export function createGuard(verifier: Verifier, HttpException: HttpExceptionClass, options?: AdapterOptions) {
  return {
    async canActivate(context: HttpContext): Promise<boolean> {
      const http = context.switchToHttp();
      const request = http.getRequest() as IncomingRequest & { auth?: Auth };
      const outcome = await authenticateRequest(verifier, request, options);
      if (outcome.auth) {
        request.auth = outcome.auth;
        return true;
      }
      const { status, headers, body } = outcome.refusal;
      const response = http.getResponse() as { header(name: string, value: string): unknown }; // Express and Fastify alike
      for (const [name, value] of Object.entries(headers)) response.header(name, value);
      throw new HttpException(body, status);
    },
  };
}
