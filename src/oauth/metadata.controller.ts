import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOkResponse, ApiOperation, ApiTags } from '../common/openapi-decorators.js';
import { ApiProblems } from '../common/openapi.js';
import { NotFound } from '../common/domain-error.js';
import { Public } from '../common/principal.js';
import { Config } from '../config/config.js';
import { ALGORITHM } from '../tokens/key-vault.js';
import { ASSERTION_ALGORITHMS } from './client-authentication.js';

const PATH = 'oauth-authorization-server';

@ApiTags('Integration')
@Controller('.well-known')
export class MetadataController {
  constructor(private readonly config: Config) {}

  @Public()
  @Get(PATH)
  @Header('Cache-Control', 'public, max-age=300')
  @Header('Access-Control-Allow-Origin', '*')
  @ApiOperation({
    summary: 'Where everything is (RFC 8414)',
    description:
      '`issuer` is byte for byte the `iss` of our tokens. There is no token endpoint: people log in at `/auth/login`.',
  })
  @ApiOkResponse({ description: 'The metadata.', schema: { type: 'object', additionalProperties: true } })
  metadata(): Record<string, unknown> {
    if (this.issuerPath !== '') throw new NotFound('issuer_has_a_path');
    return this.document();
  }

  /** For an issuer with a path that is put behind (RFC 8414, section 3.1). */
  @Public()
  @Get(`${PATH}/*`)
  @Header('Cache-Control', 'public, max-age=300')
  @Header('Access-Control-Allow-Origin', '*')
  @ApiExcludeEndpoint()
  @ApiProblems(404)
  metadataOfPath(@Param('*') path: string): Record<string, unknown> {
    if (this.issuerPath === '' || `/${path}` !== this.issuerPath) throw new NotFound('another_issuer');
    return this.document();
  }

  private get issuerPath(): string {
    return new URL(this.config.issuer).pathname.replace(/\/$/, '');
  }

  private document(): Record<string, unknown> {
    const { issuer, publicUrl } = this.config;
    const at = (path: string) => `${publicUrl.replace(/\/$/, '')}${path}`;
    const methods = ['client_secret_basic', 'private_key_jwt'];
    return {
      issuer,
      jwks_uri: at('/.well-known/jwks.json'),
      introspection_endpoint: at('/oauth/introspect'),
      introspection_endpoint_auth_methods_supported: methods,
      introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
      revocation_endpoint: at('/oauth/revoke'),
      revocation_endpoint_auth_methods_supported: methods,
      revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
      revocation_feed_endpoint: at('/oauth/revocations'),
      access_token_signing_alg_values_supported: [ALGORITHM],
      response_types_supported: [],
      grant_types_supported: [],
    };
  }
}
