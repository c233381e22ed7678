import proxyAddress from '@fastify/proxy-addr';
import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { clientAddress } from './common/principal.js';
import type { Config } from './config/config.js';
import { countHeader, requestIdOf, SECURITY_HEADERS } from './http.headers.js';
import { logAnswer } from './http.log.js';
import type { Metrics } from './metrics/metrics.js';
import type { IntrospectionShortcut } from './oauth/introspection.shortcut.js';
import type { AccessTokens } from './tokens/access-tokens.js';
import { bearerOf } from './tokens/bearer.guard.js';
import type { RevocationLookup } from './tokens/revocation-lookup.js';

const FORM = /^application\/x-www-form-urlencoded(?:; ?charset=utf-8)?$/i;
const MAX_FORM_OCTETS = 8 * 1024;
const COMMON_HEADERS = Object.entries(SECURITY_HEADERS).flat();
/** What makes a request more than a plain one: the routes know what to do with each. */
const UNUSUAL = ['expect', 'upgrade', 'transfer-encoding', 'content-encoding'] as const;

interface Parts {
  config: Pick<Config, 'trustedProxies'>;
  tokens: AccessTokens;
  revocations: RevocationLookup;
  introspections: IntrospectionShortcut;
  metrics: Metrics;
  logger: Logger;
}

/**
 * Answers the two requests that services send all the time before Fastify and Nest have begun with them, which would cost
 * more than the answer itself (docs/adr/0012-shortcuts.md): the plain `GET /auth/verify` and `POST /oauth/introspect` of a
 * token that this instance has verified before. The revocation table is asked all the same. The answer is the one that the
 * route gives; whatever is not plain is left to the route, every refusal and every failure among it.
 *
 * Call it when the routes are there and before the server listens.
 */
export function addShortcuts(fastify: FastifyInstance, parts: Parts): void {
  const { tokens, revocations, introspections, metrics, logger } = parts;
  const { server } = fastify;
  const addressOf = addressBy(parts.config.trustedProxies);
  const [route] = server.listeners('request') as [RequestListener]; // the first is Fastify's own

  server.off('request', route);
  server.prependListener('request', (request, response) => {
    if (server.listening && isPlain(request)) {
      if (request.method === 'GET' && request.url === '/auth/verify') return verify(request, response);
      if (request.method === 'POST' && request.url === '/oauth/introspect') return introspect(request, response);
    }
    route(request, response);
  });

  function verify(request: IncomingMessage, response: ServerResponse): void {
    const startedAt = performance.now();
    const token = bearerOf(request.headers.authorization);
    const claims = request.headers['content-length'] === undefined && token ? tokens.recall(token) : undefined;
    if (!claims) return void route(request, response);
    const isRevoked = revocations.isRevoked(claims);
    const leave = () => {
      revocations.handOver(request, isRevoked);
      route(request, response);
    };
    isRevoked.then((isDead) => {
      if (isDead) return leave();
      const { sub, sid } = claims;
      answer(request, response, startedAt, 204, ['x-user-id', sub, 'x-session-id', sid]);
    }, leave);
  }

  function introspect(request: IncomingMessage, response: ServerResponse): void {
    const startedAt = performance.now();
    const length = Number(request.headers['content-length']);
    if (!FORM.test(request.headers['content-type'] ?? '') || !(length > 0 && length <= MAX_FORM_OCTETS)) {
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
      if (!introspection) return leave();
      introspection.then((result) => {
        const json = JSON.stringify(result);
        const headers = ['content-type', 'application/json; charset=utf-8', 'content-length', String(json.length)];
        answer(request, response, startedAt, 200, headers, json);
      }, leave);
    });
  }

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    startedAt: number,
    status: number,
    headers: string[],
    body?: string,
  ): void {
    const { method, url } = request as { method: string; url: string };
    const requestId = requestIdOf(request.headers);
    response.writeHead(status, [...COMMON_HEADERS, 'x-request-id', requestId, ...headers]).end(body);
    const durationMs = performance.now() - startedAt;
    metrics.requestSeconds.observe(method, url, status, durationMs / 1000);
    logAnswer(logger, url, () => ({ requestId, method, route: url, status, durationMs, ip: addressOf(request) }));
  }
}

function isPlain({ httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  return (
    httpVersion === '1.1' &&
    countHeader(rawHeaders, 'host') === 1 &&
    countHeader(rawHeaders, 'authorization') === 1 &&
    !UNUSUAL.some((name) => headers[name] !== undefined)
  );
}

/** As Fastify finds `request.ip`. */
function addressBy(trusted: Config['trustedProxies']): (request: IncomingMessage) => string {
  const direct = ({ socket }: IncomingMessage) => socket.remoteAddress ?? '';
  if (trusted === false) return (request) => clientAddress({ ip: direct(request), socket: request.socket });
  const isTrusted = typeof trusted === 'function' ? trusted : proxyAddress.compile(trusted);
  return (request) => {
    const ip = proxyAddress.all(request, isTrusted).at(-1) ?? direct(request);
    return clientAddress({ ip, socket: request.socket });
  };
}
