import proxyAddress from '@fastify/proxy-addr';
import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { FORM_LIMIT_BYTES } from './common/form-body.js';
import { clientAddress } from './common/principal.js';
import type { Config } from './config/config.js';
import { countHeader, requestIdOf, SECURITY_HEADERS } from './http.headers.js';
import { logAnswer } from './http.log.js';
import type { Metrics } from './metrics/metrics.js';
import type { IntrospectionShortcut } from './oauth/introspection.shortcut.js';
import type { AccessTokenClaims, AccessTokens } from './tokens/access-tokens.js';
import { bearerOf } from './tokens/bearer.guard.js';
import type { RevocationLookup } from './tokens/revocation-lookup.js';
import type { UserRepository } from './users/user.repository.js';
import { Me } from './users/users.controller.js';

const FORM = /^application\/x-www-form-urlencoded(?:; ?charset=utf-8)?$/i;
const JSON_TYPE = 'application/json; charset=utf-8';
const COMMON_HEADERS = Object.entries(SECURITY_HEADERS).flat();

interface Parts {
  config: Pick<Config, 'trustedProxies'>;
  tokens: AccessTokens;
  revocations: RevocationLookup;
  users: UserRepository;
  introspections: IntrospectionShortcut;
  metrics: Metrics;
  logger: Logger;
}

/**
 * Answers what services and front ends ask all the time before Fastify and Nest have begun with it, which would cost more than
 * the answer itself (docs/adr/0012-shortcuts.md): plain requests with a token that this instance has verified before. The
 * revocation table is asked all the same. The answer is the one that the route gives; whatever is not plain is left to the
 * route, every refusal and every failure among it.
 *
 * Call it when the routes are there and before the server listens.
 */
export function addShortcuts(fastify: FastifyInstance, parts: Parts): void {
  const { tokens, revocations, users, introspections, metrics, logger } = parts;
  const { server } = fastify;
  const addressOf = addressBy(parts.config.trustedProxies);
  const [route] = server.listeners('request') as [RequestListener]; // the first is Fastify's own

  server.off('request', route);
  server.prependListener('request', (request, response) => {
    const shortcut = server.listening && isPlain(request) && shortcuts[`${request.method} ${request.url}`];
    if (shortcut) shortcut(request, response, performance.now());
    else route(request, response);
  });

  const shortcuts: Record<string, (request: IncomingMessage, response: ServerResponse, startedAt: number) => void> = {
    'GET /auth/verify': (request, response, startedAt) =>
      withLiveToken(request, response, ({ sub, sid }) => {
        answer(request, response, startedAt, 204, ['x-user-id', sub, 'x-session-id', sid]);
      }),

    'GET /users/me': (request, response, startedAt) =>
      withLiveToken(request, response, ({ sub }, leave) => {
        const found = users.findProfile(sub);
        const leaveIt = () => {
          users.handedOver.leave(request, found);
          leave();
        };
        found.then((profile) => {
          if (profile) answerJson(request, response, startedAt, JSON.stringify(Me.of(profile)));
          else leaveIt();
        }, leaveIt);
      }),

    'POST /oauth/introspect': (request, response, startedAt) => {
      const length = Number(request.headers['content-length']);
      if (!FORM.test(request.headers['content-type'] ?? '') || !(length > 0 && length <= FORM_LIMIT_BYTES)) {
        return void route(request, response);
      }
      // By then the body is here if it came with the head. One that comes later is the route's.
      process.nextTick(() => {
        const body = request.readableLength === length ? (request.read(length) as Buffer) : undefined;
        const leave = () => {
          if (body) request.unshift(body);
          route(request, response);
        };
        const introspection = body && introspections.answer(request, body);
        if (introspection) introspection.then((json) => answerJson(request, response, startedAt, json), leave);
        else leave();
      });
    },
  };

  /** Goes on with the claims of a token that is good now; with `leave` as long as nothing has been answered. */
  function withLiveToken(
    request: IncomingMessage,
    response: ServerResponse,
    goOn: (claims: AccessTokenClaims, leave: () => void) => void,
  ): void {
    const token = bearerOf(request.headers.authorization);
    const claims = request.headers['content-length'] === undefined && token ? tokens.recall(token) : undefined;
    if (!claims) return void route(request, response);
    const isRevoked = revocations.isRevoked(claims);
    const leave = () => {
      revocations.handedOver.leave(request, isRevoked);
      route(request, response);
    };
    isRevoked.then((isDead) => (isDead ? leave() : goOn(claims, leave)), leave);
  }

  function answerJson(request: IncomingMessage, response: ServerResponse, startedAt: number, json: string): void {
    const headers = ['content-type', JSON_TYPE, 'content-length', String(Buffer.byteLength(json))];
    answer(request, response, startedAt, 200, headers, json);
  }

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    startedAt: number,
    status: number,
    headers: string[],
    body?: string,
  ): void {
    if (response.destroyed) return; // the client has gone, and the route would tell of no answer either
    const { method, url } = request as { method: string; url: string };
    const requestId = requestIdOf(request.headers);
    response.writeHead(status, [...COMMON_HEADERS, 'x-request-id', requestId, ...headers]).end(body);
    const durationMs = performance.now() - startedAt;
    metrics.requestSeconds.observe(method, url, status, durationMs / 1000);
    logAnswer(logger, url, () => ({ requestId, method, route: url, status, durationMs, ip: addressOf(request) }));
  }
}

/** Whatever makes a request more than that: the routes know what to do with it. */
function isPlain({ httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  return (
    httpVersion === '1.1' &&
    headers.expect === undefined &&
    headers.upgrade === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers['content-encoding'] === undefined &&
    countHeader(rawHeaders, 'host') === 1 &&
    countHeader(rawHeaders, 'authorization') === 1
  );
}

/** As Fastify finds `request.ip`. */
function addressBy(trusted: Config['trustedProxies']): (request: IncomingMessage) => string {
  const isTrusted = typeof trusted === 'function' ? trusted : proxyAddress.compile(trusted || []);
  return (request) => clientAddress({ ip: proxyAddress.all(request, isTrusted).at(-1) ?? '', socket: request.socket });
}
