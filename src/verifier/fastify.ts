import { authenticateRequest, type AdapterOptions, type Auth, type IncomingRequest } from './bearer.js';
import type { Verifier } from './verifier.js';

export type { AdapterOptions, Auth, Refusal, RequestRefusalReason } from './bearer.js';

interface FastifyReply {
  code(status: number): FastifyReply;
  headers(headers: Record<string, string>): FastifyReply;
  type(type: string): FastifyReply;
  send(body: string): FastifyReply;
}

/** A Fastify hook for `onRequest`: `request.auth` for who has a good token, 401, 400 or 503 for everybody else. */
export function fastifyAuth(verifier: Verifier, options?: AdapterOptions) {
  return async (request: object, reply: object): Promise<unknown> => {
    const outcome = await authenticateRequest(verifier, request as IncomingRequest, options);
    if (outcome.auth) {
      (request as { auth?: Auth }).auth = outcome.auth;
      return;
    }
    const { status, headers, body } = outcome.refusal;
    return (reply as FastifyReply)
      .code(status)
      .headers(headers)
      .type('application/problem+json')
      .send(JSON.stringify(body));
  };
}
