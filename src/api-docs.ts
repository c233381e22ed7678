import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import * as swagger from '@nestjs/swagger';
import { createRequire } from 'node:module';
import { completeDocument } from './common/openapi.js';
import { applyOpenApiDecorators } from './common/openapi-decorators.js';
import type { Config } from './config/config.js';

/** The OpenAPI document: what /docs-json serves and docs/openapi.json holds. */
export function describeApi(app: NestFastifyApplication, config: Pick<Config, 'publicUrl'>): swagger.OpenAPIObject {
  applyOpenApiDecorators(swagger);
  const { version } = createRequire(import.meta.url)('gatehouse/package.json') as { version: string };
  const document = swagger.SwaggerModule.createDocument(
    app,
    new swagger.DocumentBuilder()
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

@Module({})
class ApiDocsModule {}

/** The pages of `app`'s document, as an application of their own that does not listen: see `addApiDocs`. */
export async function startApiDocs(app: NestFastifyApplication, config: Config): Promise<NestFastifyApplication> {
  const docs = await NestFactory.create<NestFastifyApplication>(ApiDocsModule, new FastifyAdapter(), { logger: false });
  // The page may be open under another name of this host than PUBLIC_URL, and its policy lets it call only its own.
  const description = { ...describeApi(app, config), servers: [] };
  swagger.SwaggerModule.setup('docs', docs, description, {
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
  return docs.init();
}
