import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { STATUS_CODES } from 'node:http';
import { isDependencyFailure } from './dependency-failure.js';
import { bodyTypeOf, isOAuth, oauthStatus, toOAuthError } from './oauth-error.js';
import {
  BodyTooLarge,
  DomainError,
  MalformedRequest,
  NotFound,
  Unavailable,
  UnsupportedMediaType,
  STATUS,
  type BodyType,
  type DomainErrorOptions,
} from './domain-error.js';

const RETRY_AFTER_SECONDS = 2;

/** RFC 9457 problem details, with two members of ours: `code` (stable, the contract) and `request_id`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: { field: string; code: string; message: string }[];
}

class InternalError extends DomainError {
  readonly kind = 'internal';
  override readonly logLevel = 'error';
  constructor(cause: unknown) {
    super('internal_error', 'Something went wrong on our side. Quote the request id when you report it.', { cause });
  }
}

/**
 * What the framework throws before our code runs, and everything unexpected, as one of ours.
 *
 * @param due what the route takes.
 */
export function toDomainError(error: unknown, due: BodyType = 'application/json'): DomainError {
  if (error instanceof DomainError) return error;
  const status =
    error instanceof HttpException ? error.getStatus() : (error as { statusCode?: number } | null)?.statusCode;
  const because: DomainErrorOptions = { detail: `framework_${status}` };
  if (status === 404) return new NotFound(because.detail);
  if (status === 413) return new BodyTooLarge();
  if (status === 415) return new UnsupportedMediaType(due);
  if (status !== undefined && status >= 400 && status < 500) {
    return new MalformedRequest('malformed_request', 'The request cannot be read.', because);
  }
  // Not before the status: a client that hangs up in the middle of its body is an ECONNRESET too, to which Fastify gives 400.
  if (isDependencyFailure(error)) return new Unavailable('database', RETRY_AFTER_SECONDS, error);
  return new InternalError(error);
}

/** The status and body that an error becomes. */
export function toProblem(error: DomainError, requestId: string): Problem {
  const status = STATUS[error.kind];
  return {
    type: `urn:gatehouse:error:${error.code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...(error.fields && { errors: error.fields }),
  };
}

/** Answers every error as `application/problem+json`, and logs it at the level that its class names. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    sendProblem(toDomainError(thrown, bodyTypeOf(request)), request, http.getResponse<FastifyReply>());
  }
}

/** Also for what fails before a route is found. The OAuth endpoints have a form of their own. */
export function sendProblem(error: DomainError, request: FastifyRequest, reply: FastifyReply): void {
  const inOAuthForm = isOAuth(request);
  const status = inOAuthForm ? oauthStatus(error) : STATUS[error.kind];
  request.log[error.logLevel]({
    event: 'request_refused',
    code: error.code,
    status,
    ...(error.detail && { reason: error.detail }),
    ...(error.cause !== undefined && { err: error.cause }),
  });
  if (reply.sent) return;
  void reply
    .status(status)
    .headers(error.headers)
    .header('Cache-Control', 'no-store') // a route that may be cached has said so before it failed
    .type(inOAuthForm ? 'application/json' : 'application/problem+json')
    .send(JSON.stringify(inOAuthForm ? toOAuthError(error) : toProblem(error, request.id)));
}
