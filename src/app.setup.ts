import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import { NotFound } from './common/domain-error.js';
import { NestLogger } from './common/logger.js';
import type { Config } from './config/config.js';
import { addTurnstile } from './http.logins.js';
import { addHttpMetrics, addHttpRules, httpServerOptions } from './http.setup.js';
import { addShortcuts } from './http.shortcuts.js';
import { Metrics } from './metrics/metrics.js';
import { IntrospectionShortcut } from './oauth/introspection.shortcut.js';
import { AccessTokens } from './tokens/access-tokens.js';
import { RevocationLookup } from './tokens/revocation-lookup.js';
import { UserRepository } from './users/user.repository.js';

/** The application as the server runs it and the tests test it, not listening yet. */
export async function createApp(config: Config, logger: Logger): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter(httpServerOptions(config, logger) as object);
  addHttpRules(adapter.getInstance(), config);
  addTurnstile(adapter.getInstance(), config);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config), adapter, {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  addHttpMetrics(adapter.getInstance(), app.get(Metrics));
  if (config.docs === 'on') addApiDocs(app, config);
  await app.init();
  addShortcuts(adapter.getInstance(), {
    config,
    logger,
    tokens: app.get(AccessTokens),
    revocations: app.get(RevocationLookup),
    users: app.get(UserRepository),
    introspections: app.get(IntrospectionShortcut),
    metrics: app.get(Metrics),
  });
  return app;
}

/** Headers of an answer that are about its connection, which the one of `inject` does not have. */
const OF_THE_CONNECTION = ['connection', 'keep-alive', 'transfer-encoding', 'date'];

/** The pages of `api-docs.ts`, loaded by the first who looks at them: a tenth of a start, which most processes never need. */
function addApiDocs(app: NestFastifyApplication, config: Config): void {
  let starting: Promise<NestFastifyApplication> | undefined;
  for (const url of ['/docs', '/docs/*', '/docs-json', '/docs-yaml']) {
    app
      .getHttpAdapter()
      .getInstance()
      .get(url, async ({ headers, url }, reply) => {
        starting ??= import('./api-docs.js').then(({ startApiDocs }) => startApiDocs(app, config));
        const answer = await (await starting).inject({ method: 'GET', url, headers });
        if (answer.statusCode === 404) throw new NotFound('no_route');
        for (const [name, value] of Object.entries(answer.headers)) {
          if (!OF_THE_CONNECTION.includes(name)) reply.header(name, value);
        }
        return reply.status(answer.statusCode).send(answer.rawPayload.length > 0 ? answer.rawPayload : undefined);
      });
  }
}
