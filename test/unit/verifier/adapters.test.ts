import { Controller, Get, HttpException, Module, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import fastify from 'fastify';
import { once } from 'node:events';
import { createServer, request as sendRequest, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { authenticateRequest, type Refusal } from '../../../src/verifier/bearer.js';
import { expressAuth } from '../../../src/verifier/express.js';
import { fastifyAuth } from '../../../src/verifier/fastify.js';
import { createGuard } from '../../../src/verifier/nest.js';
import type { AccessTokenClaims, RefusalReason } from '../../../src/verifier/result.js';
import type { Verifier } from '../../../src/verifier/verifier.js';

const claims = { sub: 'user-1' } as AccessTokenClaims;

/** Takes the token `good`; another one is refused for the reason that it is. */
const verifier: Verifier = {
  cursor: 'epoch--1.0',
  stalenessMs: () => 7,
  ready: async () => undefined,
  close: async () => undefined,
  verify: async (token, { minCursor } = {}) => {
    if (minCursor !== undefined && minCursor !== 'epoch--1.0') return { ok: false, reason: 'malformed_cursor' };
    return token === 'good' ? { ok: true, claims, stalenessMs: 7 } : { ok: false, reason: token as RefusalReason };
  },
};

interface Answer {
  status: number | undefined;
  headers: Record<string, unknown>;
  body: any;
}

type Service = (onRefused: (refusal: Refusal) => void) => Promise<string>;

const services: Record<string, Service> = {
  // Express is not installed: what the middleware uses of it, on a plain server.
  express: async (onRefused) => {
    const middleware = expressAuth(verifier, { onRefused });
    const handler: RequestListener = (request, response) => {
      const express = {
        status: (status: number) => ((response.statusCode = status), express),
        set: (headers: Record<string, string>) => (response.setHeaders(new Map(Object.entries(headers))), express),
        type: (type: string) => (response.setHeader('content-type', type), express),
        send: (body: string) => response.end(body),
      };
      middleware(request, express, () => response.end(JSON.stringify((request as { auth?: object }).auth)));
    };
    const server = createServer(handler).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  },
  fastify: async (onRefused) => {
    const app = fastify();
    app.addHook('onRequest', fastifyAuth(verifier, { onRefused }));
    app.get('/', async (request) => (request as { auth?: object }).auth);
    onTestFinished(() => app.close());
    return app.listen({ port: 0, host: '127.0.0.1' });
  },
  nest: async (onRefused) => {
    const app = await NestFactory.create<NestFastifyApplication>(App, new FastifyAdapter(), { logger: false });
    app.useGlobalGuards(createGuard(verifier, HttpException, { onRefused }));
    onTestFinished(() => app.close());
    await app.listen(0, '127.0.0.1');
    return app.getUrl();
  },
};

@Controller()
class Controllers {
  @Get()
  get(@Req() request: { auth?: object }): object | undefined {
    return request.auth;
  }
}

@Module({ controllers: [Controllers] })
class App {}

function get(url: string, headers: string[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Headers in pairs: the only way to send one twice.
    const sent = sendRequest(
      url,
      { headers: ['Host', 'x', 'Connection', 'close', ...headers] as never },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const { statusCode: status, headers: answered } = response;
          resolve({ status, headers: answered, body: JSON.parse(Buffer.concat(chunks).toString()) });
        });
      },
    );
    sent.on('error', reject).end();
  });
}

describe.each(Object.entries(services))('%s', (_, start) => {
  async function service() {
    const refusals: string[] = [];
    const url = await start(({ reason }) => refusals.push(reason));
    return { refusals, send: (...headers: string[]) => get(url, headers) };
  }

  test('lets in who has a good token, and says who it is', async () => {
    const { send, refusals } = await service();
    expect(await send('Authorization', 'Bearer good')).toMatchObject({ status: 200, body: { claims, stalenessMs: 7 } });
    const withCursor = ['Authorization', 'bearer good', 'Min-Revocation-Cursor', 'epoch--1.0'];
    expect(await send(...withCursor)).toMatchObject({ status: 200 });
    expect(refusals).toEqual([]);
  });

  test('401 without a token: no error code', async () => {
    const { send, refusals } = await service();
    for (const headers of [
      [],
      ['Authorization', 'Basic Z29vZA=='],
      ['Authorization', 'Bearer'],
      ['Cookie', 'access_token=good'],
    ]) {
      const answer = await send(...headers);
      expect(answer).toMatchObject({ status: 401, body: { title: 'Unauthorized', status: 401 } });
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="gatehouse"');
    }
    expect(refusals).toEqual(['no_token', 'no_token', 'no_token', 'no_token']);
  });

  test('401 for a token that is no good, without telling the client why', async () => {
    const { send, refusals } = await service();
    const answer = await send('Authorization', 'Bearer revoked');
    expect(answer).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer realm="gatehouse", error="invalid_token"' },
    });
    expect(JSON.stringify(answer)).not.toContain('revoked');
    expect(refusals).toEqual(['revoked']);
  });

  test.each(['not_ready', 'stale', 'behind', 'unavailable'])('503 when nobody can tell: %s', async (reason) => {
    const { send } = await service();
    expect(await send('Authorization', `Bearer ${reason}`)).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
    });
  });

  test('400 for a cursor that is none, and for two of a header', async () => {
    const { send, refusals } = await service();
    const one = ['Authorization', 'Bearer good'];
    expect(await send(...one, 'Min-Revocation-Cursor', 'x')).toMatchObject({ status: 400 });
    expect(
      await send(...one, 'Min-Revocation-Cursor', 'epoch--1.0', 'Min-Revocation-Cursor', 'epoch--1.0'),
    ).toMatchObject({
      status: 400,
    });
    expect(await send(...one, 'authorization', 'Bearer revoked')).toMatchObject({ status: 400 });
    expect(refusals).toEqual(['malformed_cursor', 'malformed_cursor', 'two_tokens']);
  });
});

test.each([
  ['at once', () => void ([] as string[]).at(0)!.length],
  ['later', () => Promise.reject(new Error('log full'))],
])('an observer that throws %s lets nobody in, and changes no answer', async (_, onRefused) => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  onTestFinished(() => void process.off('unhandledRejection', unhandled));
  expect(await authenticateRequest(verifier, { headers: {} }, { onRefused })).toMatchObject({
    refusal: { reason: 'no_token', status: 401 },
  });
  await sleep(10);
  expect(unhandled).not.toHaveBeenCalled();
});
