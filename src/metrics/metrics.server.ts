import { Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Config } from '../config/config.js';
import { Metrics } from './metrics.js';

const TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 50;

/**
 * `/metrics` in the Prometheus text format, on a port of its own: what it tells is for the operator, and reaches nobody who
 * can only reach the API (ASVS 13.4.5).
 */
@Injectable()
export class MetricsServer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly server: Server;

  constructor(
    private readonly config: Config,
    private readonly metrics: Metrics,
  ) {
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.requestTimeout = TIMEOUT_MS;
    this.server.headersTimeout = TIMEOUT_MS;
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** Where it listens, once it does. */
  get address(): AddressInfo {
    return this.server.address() as AddressInfo;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { metricsHost, metricsPort } = this.config;
    this.server.listen(metricsPort, metricsHost);
    await once(this.server, 'listening');
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private async answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (url !== '/metrics') return void response.writeHead(404).end();
    if (method !== 'GET') return void response.writeHead(405, { Allow: 'GET' }).end();
    try {
      const text = await this.metrics.registry.metrics();
      response.writeHead(200, { 'Content-Type': this.metrics.registry.contentType }).end(text);
    } catch {
      response.writeHead(500).end();
    }
  }
}
