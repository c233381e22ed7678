import { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { v7 as uuidv7, validate as isUuid } from 'uuid';
import { MalformedRequest, MethodNotAllowed, Unavailable, UnsupportedMediaType } from './common/domain-error.js';
import { parseJsonObject } from './common/json-body.js';
import { clientAddress } from './common/principal.js';
import { sendProblem, toProblem } from './common/problem.filter.js';
import type { Config } from './config/config.js';

const BODY_LIMIT_BYTES = 16 * 1024;
const HEADER_LIMIT_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 5_000;

/** On every answer, also on those that never become a request (ASVS 3.4; OWASP REST Security Cheat Sheet, "Security Headers"). */
const SECURITY_HEADERS = {
  'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'X-Frame-Options': 'DENY',
  'Content-Security-Policy': "default-src 'none';frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** Swagger UI brings its own scripts and inline styles; nothing else of ours is a page. */
const DOCS_POLICY =
  "default-src 'none';script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;connect-src 'self';" +
  "base-uri 'none';form-action 'none';frame-ancestors 'none'";

/** Options of the HTTP server: limits, time-outs (docs/security.md), request ids, trusted proxies. */
export function httpServerOptions(config: Config, logger: Logger) {
  return {
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    requestIdHeader: false,
    genReqId: ({ headers }: { headers: Record<string, string | string[] | undefined> }) => {
      const given = headers['x-request-id'];
      return typeof given === 'string' && isUuid(given) ? given : uuidv7();
    },
    trustProxy: config.trustedProxies,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS, maxHeaderSize: HEADER_LIMIT_BYTES },
    return503OnClosing: false, // ours says the same as a problem, see below
    routerOptions: { maxParamLength: HEADER_LIMIT_BYTES },
    clientErrorHandler: refuseUnreadable,
    frameworkErrors: refuseUnroutable,
  };
}

/** What holds for every request, before and around Nest. Call it before the routes are registered. */
export function addHttpRules(fastify: FastifyInstance): void {
  const routes: { matches: RegExp; method: string }[] = [];
  const connections = trackConnections(fastify.server);
  let isClosing = false;

  fastify.addHook('onRoute', ({ method, url }) => {
    const pattern = url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:[^/]+/g, '[^/]+')
      .replace(/\*/g, '.*');
    for (const one of [method].flat()) routes.push({ matches: new RegExp(`^${pattern}$`), method: one });
  });

  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers({ ...SECURITY_HEADERS, 'X-Request-Id': request.id });
    if (isClosing) {
      reply.header('Connection', 'close');
      return done(new Unavailable('shutting_down', 1));
    }
    if (request.is404) {
      const path = request.url.split('?')[0] ?? '';
      const allowed = routes.filter(({ matches }) => matches.test(path)).map(({ method }) => method);
      if (allowed.length > 0) return done(new MethodNotAllowed([...new Set(allowed)].sort()));
    }
    if (countHeader(request, 'authorization') > 1) {
      return done(new MalformedRequest('malformed_request', 'The request has two Authorization headers.'));
    }
    done();
  });

  fastify.addHook('preClose', (done) => {
    isClosing = true;
    connections.endUnused();
    done();
  });

  fastify.addHook('onSend', (request, reply, payload, done) => {
    // Accepted before we began to stop; the client would wait on this connection, and we for the client.
    if (isClosing) reply.header('Connection', 'close');
    const isDocs = /^\/docs(?:[/?-]|$)/.test(request.url);
    if (isDocs && reply.statusCode < 400) reply.header('Content-Security-Policy', DOCS_POLICY);
    // Tokens and personal data are in nearly every answer; what may be cached says so itself.
    else if (!reply.hasHeader('Cache-Control')) reply.header('Cache-Control', 'no-store');
    done(null, payload);
  });

  fastify.addHook('onResponse', (request, reply, done) => {
    const isProbe = request.url.startsWith('/health/');
    request.log[isProbe ? 'debug' : 'info']({
      event: 'http_request',
      method: request.method,
      route: request.is404 ? undefined : request.routeOptions.url, // the pattern: a path may hold what it should not
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime * 10) / 10,
      ip: clientAddress(request),
    });
    done();
  });

  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    try {
      refuseOtherEncodings(request);
      done(null, body.length === 0 ? null : parseJsonObject(body));
    } catch (error) {
      done(error as Error);
    }
  });
}

/**
 * Node's close() waits for every connection that has not sent a whole request yet (a browser's preconnect, half a header),
 * and stops the time-outs that would end it: one silent client could hold a stopping process for as long as it is let.
 */
function trackConnections(server: FastifyInstance['server']): { endUnused: () => void } {
  const unanswered = new Map<Socket, number>();
  let isClosing = false;
  const count = (socket: Socket, change: 1 | -1) => {
    const requests = unanswered.get(socket);
    if (requests === undefined) return; // closed meanwhile
    unanswered.set(socket, requests + change);
  };
  server.on('connection', (socket) => {
    if (isClosing) return void socket.destroy();
    unanswered.set(socket, 0);
    socket.once('close', () => unanswered.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    count(socket, 1);
    response.once('close', () => count(socket, -1));
  });
  return {
    endUnused: () => {
      isClosing = true;
      for (const [socket, requests] of unanswered) if (requests === 0) socket.destroy();
    },
  };
}

function refuseOtherEncodings({ headers }: FastifyRequest): void {
  const parameters = (headers['content-type'] ?? '')
    .split(';')
    .slice(1)
    .map((parameter) => parameter.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  const isUtf8 = charset === undefined || /^charset="?utf-8"?$/.test(charset);
  if (!isUtf8 || (headers['content-encoding'] ?? 'identity') !== 'identity') throw new UnsupportedMediaType();
}

/** Node joins or drops repeated headers; only the raw list shows that there were two. */
function countHeader({ raw }: FastifyRequest, name: string): number {
  return raw.rawHeaders.filter((header, index) => index % 2 === 0 && header.toLowerCase() === name).length;
}

/** An address that cannot be decoded: no route, so no hook has run. */
function refuseUnroutable(error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({ ...SECURITY_HEADERS, 'X-Request-Id': request.id, 'Cache-Control': 'no-store' });
  const refusal = new MalformedRequest('malformed_request', 'The request cannot be read.', {
    detail: error.code ?? 'url',
  });
  sendProblem(refusal, request, reply);
}

/** What Node's HTTP parser refuses never becomes a request: answered on the socket, as a problem like everything else. */
function refuseUnreadable(this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, reason] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout']
        : [400, 'Bad Request'];
  const problem = toProblem(new MalformedRequest('malformed_request', 'The request cannot be read.'), uuidv7());
  const body = JSON.stringify({ ...problem, status, title: reason });
  this.log.info({ event: 'request_refused', code: problem.code, status, reason: error.code });
  socket.end(
    [
      `HTTP/1.1 ${status} ${reason}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${problem.request_id}`,
      'Cache-Control: no-store',
      ...Object.entries(SECURITY_HEADERS).map(([name, value]) => `${name}: ${value}`),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}
