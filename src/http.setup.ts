import { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Server, Socket } from 'node:net';
import type { Bindings, Logger } from 'pino';
import {
  MalformedRequest,
  MethodNotAllowed,
  NotFound,
  Unavailable,
  UnsupportedMediaType,
  type BodyType,
} from './common/domain-error.js';
import { countHeader, requestIdOf, SECURITY_HEADERS } from './http.headers.js';
import { logAnswer } from './http.log.js';
import { REFUSED, trackConnections, type RefusalReason } from './http.connections.js';
import { FORM_LIMIT_BYTES, parseForm } from './common/form-body.js';
import { parseJsonObject } from './common/json-body.js';
import { bodyTypeOf } from './common/oauth-error.js';
import { LazyChild } from './common/logger.js';
import { clientAddress } from './common/principal.js';
import { sendProblem, toProblem } from './common/problem.filter.js';
import type { Config } from './config/config.js';
import type { Metrics } from './metrics/metrics.js';

const FORM = 'application/x-www-form-urlencoded';
const BODY_LIMIT_BYTES = 16 * 1024;
const HEADER_LIMIT_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 5_000;
/** How long a client may take to read the answer to what was no request. */
const FAREWELL_MS = 1_000;
/** How often Node looks whether a time-out has passed; its own 30 s would make 10 s into 40. */
const TIMEOUT_CHECK_MS = 1_000;

/** Swagger UI brings its own scripts and inline styles; nothing else of ours is a page. */
const DOCS_POLICY =
  "default-src 'none';script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;connect-src 'self';" +
  "base-uri 'none';form-action 'none';frame-ancestors 'none'";

/** Options of the HTTP server: limits, time-outs (docs/security.md), request ids, trusted proxies. */
export function httpServerOptions(config: Config, logger: Logger) {
  return {
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    childLoggerFactory: (parent: unknown, bindings: Bindings) => new LazyChild(parent as Logger, bindings),
    requestIdHeader: false,
    genReqId: ({ headers }: IncomingMessage) => requestIdOf(headers),
    trustProxy: config.trustedProxies,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      maxHeaderSize: HEADER_LIMIT_BYTES,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      requireHostHeader: false, // Node's own refusal has no body and no headers of ours; see the hook below
    },
    return503OnClosing: false, // ours says the same as a problem, see below
    routerOptions: { maxParamLength: HEADER_LIMIT_BYTES },
    skipMiddie: true, // Nest's middleware: we have none, and the runner of it would look at every request
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    clientErrorHandler: refuseUnreadable,
    frameworkErrors: refuseUnroutable,
  };
}

/** Bodies are Nest's to check: Fastify would load ajv, 110 files, for schemas that no route has. */
function noSchemas(): never {
  throw new Error('no route has a schema of Fastify');
}

/** What holds for every request, before and around Nest. Call it before the routes are registered. */
export function addHttpRules(fastify: FastifyInstance, { maxConnections }: Pick<Config, 'maxConnections'>): void {
  const routes: { matches: RegExp; method: string }[] = [];
  const connections = trackConnections(fastify.server, maxConnections);
  // An expectation we do not know is no reason for an answer that is not ours (RFC 9110, section 10.1.1, allows to ignore it).
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));
  let isClosing = false;

  fastify.addHook('onRoute', ({ method, url }) => {
    const pattern = url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:[^/]+/g, '[^/]+')
      .replace(/\*/g, '.*');
    for (const one of [method].flat()) routes.push({ matches: new RegExp(`^${pattern}$`), method: one });
  });

  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
    if (request.routeOptions.url?.startsWith('/docs')) reply.header('Content-Security-Policy', DOCS_POLICY);
    if (isClosing) {
      reply.header('Connection', 'close');
      return done(new Unavailable('shutting_down', 1));
    }
    if (countHeader(request.raw.rawHeaders, 'host') !== 1 && request.raw.httpVersion === '1.1') {
      return done(new MalformedRequest('malformed_request', 'The request must have one Host header.'));
    }
    if (request.is404) {
      const path = decoded(request.url.split('?')[0] ?? '');
      const allowed = routes.filter(({ matches }) => matches.test(path)).map(({ method }) => method);
      return done(allowed.length > 0 ? new MethodNotAllowed([...new Set(allowed)].sort()) : new NotFound('no_route'));
    }
    if (request.headers.authorization !== undefined && countHeader(request.raw.rawHeaders, 'authorization') > 1) {
      return done(new MalformedRequest('malformed_request', 'The request has two Authorization headers.'));
    }
    done();
  });

  fastify.addHook('preClose', (done) => {
    isClosing = true;
    connections.drain();
    done();
  });

  fastify.addHook('onResponse', (request, reply, done) => {
    logAnswer(request.log as Logger, request.url, () => ({
      method: request.method,
      route: request.is404 ? undefined : request.routeOptions.url,
      status: reply.statusCode,
      durationMs: reply.elapsedTime,
      ip: clientAddress(request),
    }));
    done();
  });

  fastify.removeAllContentTypeParsers();
  // Each route takes one of the two, by where it is.
  addBodyParser('application/json', BODY_LIMIT_BYTES, (body) => (body.length === 0 ? null : parseJsonObject(body)));
  addBodyParser(FORM, FORM_LIMIT_BYTES, parseForm);

  function addBodyParser(type: BodyType, bodyLimit: number, parse: (body: Buffer) => unknown) {
    fastify.addContentTypeParser(type, { parseAs: 'buffer', bodyLimit }, (request, body: Buffer, done) => {
      try {
        const due = bodyTypeOf(request);
        if (type !== due) throw new UnsupportedMediaType(due);
        refuseOtherEncodings(request, due);
        done(null, parse(body));
      } catch (error) {
        done(error as Error);
      }
    });
  }
}

/**
 * Counts every answer by its route pattern (a path of the client's would be a label without end), and what never became a
 * request by its reason. Call it before the server listens.
 */
export function addHttpMetrics(fastify: FastifyInstance, metrics: Metrics): void {
  metrics.gauge('http_connections', 'Open connections.', () => openConnections(fastify.server));
  fastify.server.on(REFUSED, (reason: RefusalReason) => metrics.httpRefused.inc({ reason }));
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
    const method = request.is404 ? 'any' : request.method;
    metrics.requestSeconds.observe(method, route, reply.statusCode, reply.elapsedTime / 1000);
    done();
  });
}

function openConnections(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

/** As the router reads it. What cannot be decoded it has refused before. */
function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

function refuseOtherEncodings({ headers }: FastifyRequest, due: BodyType): void {
  const parameters = (headers['content-type'] ?? '')
    .split(';')
    .slice(1)
    .map((parameter) => parameter.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  const isUtf8 = charset === undefined || /^charset="?utf-8"?$/.test(charset);
  if (!isUtf8 || (headers['content-encoding'] ?? 'identity') !== 'identity') throw new UnsupportedMediaType(due);
}

/** An address that cannot be decoded: no route, so no hook has run. */
function refuseUnroutable(error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
  const refusal = new MalformedRequest('malformed_request', 'The request cannot be read.', {
    detail: error.code ?? 'url',
  });
  sendProblem(refusal, request, reply);
}

/** What Node's parser says, other than that it cannot read it. */
const UNREADABLE: Record<string, [status: number, title: string, code: RefusalReason]> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'headers_too_large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'request_timeout'],
};

/** What Node's HTTP parser refuses never becomes a request: answered on the socket, as a problem like everything else. */
function refuseUnreadable(this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, title, code] = UNREADABLE[error.code ?? ''] ?? [400, 'Bad Request', 'malformed_request'];
  const problem = {
    ...toProblem(new MalformedRequest(code, 'The request cannot be read.'), randomUUID()),
    status,
    title,
  };
  const body = JSON.stringify(problem);
  this.log.info({ event: 'request_refused', code: problem.code, status, reason: error.code });
  this.server.emit(REFUSED, code);
  socket.end(
    [
      `HTTP/1.1 ${status} ${title}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${problem.request_id}`,
      ...Object.entries(SECURITY_HEADERS).map(([name, value]) => `${name}: ${value}`),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  // Whoever does not close its side would keep the connection for ever.
  setTimeout(() => socket.destroy(), FAREWELL_MS).unref();
}
