import { authenticateRequest, type AdapterOptions, type Auth, type IncomingRequest } from './bearer.js';
import type { Verifier } from './verifier.js';

export type { AdapterOptions, Auth, Refusal, RequestRefusalReason } from './bearer.js';

interface ExpressResponse {
  status(status: number): ExpressResponse;
  set(headers: Record<string, string>): ExpressResponse;
  type(type: string): ExpressResponse;
  send(body: string): unknown;
}

/** Express middleware: `request.auth` for who has a good token, 401, 400 or 503 for everybody else. */
export function expressAuth(verifier: Verifier, options?: AdapterOptions) {
  return (
    request: IncomingRequest & { auth?: Auth },
    response: ExpressResponse,
    next: (error?: unknown) => void,
  ): void => {
    authenticateRequest(verifier, request, options)
      .then((outcome) => {
        if (outcome.auth) {
          request.auth = outcome.auth;
          return next();
        }
        const { status, headers, body } = outcome.refusal;
        response.status(status).set(headers).type('application/problem+json').send(JSON.stringify(body));
      })
      .catch(next);
  };
}
