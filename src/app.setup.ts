import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import { NestLogger } from './common/logger.js';
import { PROBLEM_SCHEMA } from './common/openapi.js';
import type { Config } from './config/config.js';
import { addHttpRules, httpServerOptions } from './http.setup.js';

/** The application as the server runs it and the tests test it, not listening yet. */
export async function createApp(config: Config, logger: Logger): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter(httpServerOptions(config, logger) as object);
  addHttpRules(adapter.getInstance());
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config), adapter, {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.useSecurityHeaders({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: "'none'", frameAncestors: "'none'" } },
    xFrameOptions: { action: 'deny' },
  });
  app.enableShutdownHooks([]);
  if (config.docs === 'on') {
    SwaggerModule.setup('docs', app, () => describeApi(app, config), {
      jsonDocumentUrl: 'docs-json',
      customSiteTitle: 'Gatehouse API',
      swaggerOptions: { persistAuthorization: true, displayRequestDuration: true, tryItOutEnabled: true },
    });
  }
  await app.init();
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
          'Errors are RFC 9457 problems; decide on `code`.',
      )
      .setVersion(version)
      .addServer(config.publicUrl)
      .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'bearer')
      .build(),
  );
  document.components = { ...document.components };
  document.components.schemas = { ...document.components.schemas, Problem: PROBLEM_SCHEMA as never };
  return document;
}
