import { createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { isIP } from 'node:net';

/** Who is calling, as the bearer guard has verified it. */
export interface Principal {
  userId: string;
  sessionId: string;
}

/** Where a request comes from, as the owner of a session and the audit trail see it. */
export interface Client {
  /** Textual IPv4 or IPv6 address, at most 45 characters. */
  ip: string;
  /** The User-Agent header, at most 512 characters; null when there is none. */
  userAgent: string | null;
  /** The X-Request-Id of the request; null for what nobody asked for over HTTP. */
  requestId: string | null;
}

declare module 'fastify' {
  interface FastifyRequest {
    principal?: Principal;
    /** Set by the passport guard of the login route. */
    user?: unknown;
  }
}

export const IS_PUBLIC = Symbol('is public');

/** Takes a route out of the bearer guard. Every route without it needs a token. */
export const Public = () => SetMetadata(IS_PUBLIC, true);

/** The verified caller of a guarded route. */
export const CurrentUser = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<FastifyRequest>();
  if (!principal) throw new Error('@CurrentUser() on a route that the bearer guard does not cover');
  return principal;
});

/** Address, user agent and request id of the caller. */
export const CurrentClient = createParamDecorator((_: unknown, context: ExecutionContext): Client =>
  clientOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

export function clientOf(request: FastifyRequest): Client {
  const userAgent = request.headers['user-agent'];
  return {
    ip: clientAddress(request),
    userAgent: userAgent ? userAgent.slice(0, 512) : null,
    requestId: request.id,
  };
}

/**
 * The address of the caller: Fastify's, which has walked the forwarding headers of the trusted proxies, unless what they
 * forwarded is no address. In its one canonical form: IPv4 not mapped into IPv6, no port, no zone.
 */
export function clientAddress({ ip, socket }: Pick<FastifyRequest, 'ip' | 'socket'>): string {
  return canonical(ip) || canonical((socket.remoteAddress ?? '').replace(/%.*$/, ''));
}

/** Every request asks for one, and few ask for many. */
const remembered = new LRUCache<string, string>({ max: 1_000 });

/** Empty for what is no address. */
function canonical(text: string): string {
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const address = withoutPort(text);
  if (isIP(address) === 0 || address.includes('%')) return ''; // a zone is free text, and of no use elsewhere
  const processed = ipaddr.process(address).toString();
  remembered.set(text, processed);
  return processed;
}

/** Some proxies forward the client's port with its address: `203.0.113.7:4711`, `[2001:db8::1]:4711`. */
function withoutPort(ip: string): string {
  return ip.replace(/^\[(.+)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1');
}
