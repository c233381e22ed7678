import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import { NestLogger } from './common/logger.js';
import { completeDocument } from './common/openapi.js';
import type { Config } from './config/config.js';
import { addHttpMetrics, addHttpRules, httpServerOptions } from './http.setup.js';
import { addShortcuts } from './http.shortcuts.js';
import { Metrics } from './metrics/metrics.js';
import { IntrospectionShortcut } from './oauth/introspection.shortcut.js';
import { AccessTokens } from './tokens/access-tokens.js';
import { RevocationLookup } from './tokens/revocation-lookup.js';

/** The application as the server runs it and the tests test it, not listening yet. */
export async function createApp(config: Config, logger: Logger): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter(httpServerOptions(config, logger) as object);
  addHttpRules(adapter.getInstance(), config);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config), adapter, {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  addHttpMetrics(adapter.getInstance(), app.get(Metrics));
  if (config.docs === 'on') {
    // The page may be open under another name of this host than PUBLIC_URL, and its policy lets it call only its own.
    const description = () => ({ ...describeApi(app, config), servers: [] });
    SwaggerModule.setup('docs', app, description, {
      jsonDocumentUrl: 'docs-json',
      customSiteTitle: 'Gatehouse API',
      customCss: '.swagger-ui .topbar { display: none }',
      swaggerOptions: {
        persistAuthorization: true,
        displayRequestDuration: true,
        tryItOutEnabled: true,
        defaultModelsExpandDepth: 0,
      },
    });
  }
  await app.init();
  addShortcuts(adapter.getInstance(), {
    config,
    logger,
    tokens: app.get(AccessTokens),
    revocations: app.get(RevocationLookup),
    introspections: app.get(IntrospectionShortcut),
    metrics: app.get(Metrics),
  });
  return app;
}

/** The OpenAPI document: what /docs-json serves and docs/openapi.json holds. */
export function describeApi(app: NestFastifyApplication, config: Pick<Config, 'publicUrl'>): OpenAPIObject {
  const { version } = createRequire(import.meta.url)('gatehouse/package.json') as { version: string };
  const document = SwaggerModule.createDocument(
    app,
    new DocumentBuilder()
      .setTitle('Gatehouse')
      .setDescription(
        'Sign up, log in, log out. Access tokens are JWTs (RFC 9068) that live five minutes and die at once on logout. ' +
          'Errors are RFC 9457 problems; decide on `code`.\n\n' +
          'To try it here: **sign up**, **log in**, copy the `access_token` of the answer, press **Authorize** and paste ' +
          'it. A method that an address does not take is answered with 405 and `Allow`.',
      )
      .setVersion(version)
      .addServer(config.publicUrl)
      .addTag('Auth', 'Sign up, log in, refresh, log out')
      .addTag('Mail links', 'What the links in our mails are for: to verify an address, to recover a password')
      .addTag('Users', 'The account')
      .addTag('Integration', 'For services that accept our tokens')
      .addTag('Operation', 'For load balancers and orchestrators')
      .addBearerAuth(
        {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'The `access_token` that login and refresh answer with, without `Bearer` before it.',
        },
        'bearer',
      )
      .addBasicAuth({ type: 'http', scheme: 'basic', description: 'A service: client id and secret.' }, 'client')
      .build(),
    // Names for generated clients, so they must be unique; a route whose method is not says `operationId` itself.
    { operationIdFactory: (_controller, method) => method },
  );
  return completeDocument(document);
}
