import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { createLocalJWKSet, decodeJwt, errors, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { createHash, timingSafeEqual } from 'node:crypto';
import { AuditTrail } from '../audit/audit-trail.js';
import { Clock } from '../common/clock.js';
import { TooManyRequests } from '../common/domain-error.js';
import { clientOf } from '../common/principal.js';
import { Config } from '../config/config.js';
import { clientBlock } from '../limits/client-block.js';
import { RateLimits } from '../limits/rate-limits.js';
import { Metrics } from '../metrics/metrics.js';
import { ClientDirectory, type KnownClient } from './client-directory.js';
import { secretDigest } from './client-secret.entity.js';
import { credentialsOf, type ClientCredentials, type Parameters } from './client-credentials.js';
import { InvalidClient } from './oauth.errors.js';
import type { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository } from './service-client.repository.js';

/** ASVS appendix C: no PKCS #1 v1.5. */
export const ASSERTION_ALGORITHMS = ['ES256', 'ES384', 'PS256', 'EdDSA'];
const MAX_ASSERTION_AGE_SECONDS = 300;
const CLOCK_SKEW_SECONDS = 5;
const MAX_JTI_LENGTH = 256;

/** Finds out which service sends a request, and makes sure of it. */
@Injectable()
export class ClientAuthentication {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly directory: ClientDirectory,
    private readonly rows: ServiceClientRepository,
    private readonly limits: RateLimits,
    private readonly audit: AuditTrail,
    private readonly metrics: Metrics,
  ) {}

  /**
   * The client of a request.
   *
   * @throws InvalidClient; TooManyRequests when its address has failed too often; InvalidRequest.
   */
  async authenticate(request: FastifyRequest, parameters: Parameters): Promise<ServiceClient> {
    try {
      const { client } = await this.verify(credentialsOf(request, parameters));
      this.metrics.clientAuthentications.inc({ result: 'success' });
      return client;
    } catch (error) {
      if (!(error instanceof InvalidClient)) throw error;
      this.metrics.clientAuthentications.inc({ result: 'failure' });
      await this.countFailure(request);
      throw error;
    }
  }

  private async countFailure(request: FastifyRequest): Promise<void> {
    if (this.config.rateLimits === 'off') return;
    const client = clientOf(request);
    const address = clientBlock(client.ip);
    const use = await this.limits.use('client_auth', address);
    if (use.isAllowed) return;
    this.metrics.budgetRefusals.inc({ budget: 'client_auth' });
    if (use.isFirstRefused) {
      const entry = { actor: { type: 'anonymous' }, client, reason: 'client_auth', details: { address } } as const;
      await this.audit.record({ type: 'excess_rate_limit_exceeded', outcome: 'failure', ...entry });
    }
    throw new TooManyRequests('client_auth', use.resetSeconds);
  }

  private verify(credentials: ClientCredentials): Promise<KnownClient> {
    return credentials.method === 'client_secret_basic'
      ? this.verifySecret(credentials.clientId, credentials.secret)
      : this.verifyAssertion(credentials.assertion, credentials.clientId);
  }

  private async verifySecret(clientId: string, secret: string): Promise<KnownClient> {
    const known = await this.directory.find(clientId);
    if (!known) throw new InvalidClient('unknown_client');
    const digest = Buffer.from(secretDigest(secret));
    if (!known.secrets.some((live) => timingSafeEqual(Buffer.from(live), digest))) {
      throw new InvalidClient('wrong_secret');
    }
    return known;
  }

  /** RFC 7523, sections 2.2 and 3. */
  private async verifyAssertion(assertion: string, clientId: string | undefined): Promise<KnownClient> {
    const known = await this.directory.find(subjectOf(assertion));
    if (!known?.client.jwks) throw new InvalidClient('unknown_client');
    const { id } = known.client;
    if (clientId !== undefined && clientId !== id) throw new InvalidClient('another_client_id');
    const now = this.clock.now();
    let claims: JWTPayload;
    try {
      const keys = createLocalJWKSet(JSON.parse(known.client.jwks) as JSONWebKeySet);
      const verified = await jwtVerify(assertion, keys, {
        algorithms: ASSERTION_ALGORITHMS,
        issuer: id,
        subject: id,
        audience: [this.config.issuer, ...ENDPOINTS.map((path) => this.config.publicUrl.replace(/\/$/, '') + path)],
        requiredClaims: ['exp', 'jti'],
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: now,
      });
      claims = verified.payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new InvalidClient(`assertion_${error.code}`);
      throw error;
    }
    const expiresAt = new Date((claims.exp as number) * 1000 + CLOCK_SKEW_SECONDS * 1000);
    const { jti } = claims;
    const isTooLong = expiresAt.getTime() - now.getTime() > (MAX_ASSERTION_AGE_SECONDS + CLOCK_SKEW_SECONDS) * 1000;
    if (isTooLong || typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH) {
      throw new InvalidClient('assertion_lives_too_long');
    }
    const digest = createHash('sha256').update(`${id}|${jti}`).digest('base64url');
    if (!(await this.rows.useAssertion({ digest, expiresAt }, now))) throw new InvalidClient('assertion_used');
    return known;
  }
}

/** What an assertion may be addressed to besides the issuer. */
const ENDPOINTS = ['/oauth/introspect', '/oauth/revoke', '/oauth/revocations'];

function subjectOf(assertion: string): string {
  try {
    return decodeJwt(assertion).sub ?? '';
  } catch {
    throw new InvalidClient('assertion_not_a_jwt');
  }
}
