// The processes under load. As `bare`: Nest on Fastify with one route, nothing else. As `gatehouse`: the service, with one
// more route that does nothing, behind the bearer guard and open, so that what is measured is the check of the token and not
// what a route does with it.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';

class ProbeController {
  probe() {
    return { ok: true };
  }
}
Controller('probe')(ProbeController);
Get()(ProbeController.prototype, 'probe', Object.getOwnPropertyDescriptor(ProbeController.prototype, 'probe'));

class OpenController extends ProbeController {}
Controller('open')(OpenController);

async function start() {
  if (process.argv[2] === 'bare') {
    class BareModule {}
    Module({ controllers: [ProbeController] })(BareModule);
    return NestFactory.create(BareModule, new FastifyAdapter(), { logger: false });
  }
  const { AppModule } = await import('../dist/src/app.module.js');
  const { Public } = await import('../dist/src/common/principal.js');
  const { createLogger } = await import('../dist/src/common/logger.js');
  const { loadConfig } = await import('../dist/src/config/load-config.js');
  const { addHttpRules, httpServerOptions } = await import('../dist/src/http.setup.js');
  const config = loadConfig(process.env);
  const logger = createLogger({ level: config.logLevel, isPretty: false });
  Public()(OpenController);
  class BenchModule {}
  Module({ imports: [AppModule.with(config)], controllers: [ProbeController, OpenController] })(BenchModule);
  const adapter = new FastifyAdapter(httpServerOptions(config, logger));
  addHttpRules(adapter.getInstance(), config);
  return NestFactory.create(BenchModule, adapter, { logger: false, bodyParser: false });
}

const app = await start();
process.once('SIGTERM', () => process.exit(0));
await app.listen({ host: '127.0.0.1', port: 0 });
process.send?.({ port: app.getHttpServer().address().port });
