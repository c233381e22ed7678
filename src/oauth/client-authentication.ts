import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { JSONWebKeySet, JWTPayload } from 'jose';
import { createHash, timingSafeEqual } from 'node:crypto';
import { Clock, plusSeconds } from '../common/clock.js';
import { clientOf } from '../common/principal.js';
import { Config } from '../config/config.js';
import { BudgetRefusals } from '../limits/budget-refusals.js';
import { clientBlock } from '../limits/client-block.js';
import { RateLimits } from '../limits/rate-limits.js';
import { Metrics } from '../metrics/metrics.js';
import { ClientDirectory } from './client-directory.js';
import { secretDigest } from './client-secret.entity.js';
import { basicCredentials, credentialsOf, type ClientCredentials, type Parameters } from './client-credentials.js';
import { InvalidClient } from './oauth.errors.js';
import type { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository, type KnownClient } from './service-client.repository.js';

/** ASVS appendix C: no PKCS #1 v1.5. */
export const ASSERTION_ALGORITHMS = ['ES256', 'ES384', 'PS256', 'EdDSA'];
const MAX_ASSERTION_AGE_SECONDS = 300;
const CLOCK_SKEW_SECONDS = 5;
/** A used assertion is remembered for so much longer: an instance whose clock is ahead purges too. */
const CLOCK_MARGIN_SECONDS = 60;
const MAX_JTI_LENGTH = 256;

/** Finds out which service sends a request, and makes sure of it. */
@Injectable()
export class ClientAuthentication {
  /** By headers that were found good; for as long as the clients are those that they were held against, a second at most. */
  private readonly recalled = new Map<string, ServiceClient>();
  private edition: object | undefined;

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly directory: ClientDirectory,
    private readonly rows: ServiceClientRepository,
    private readonly limits: RateLimits,
    private readonly refusals: BudgetRefusals,
    private readonly metrics: Metrics,
  ) {}

  /**
   * The client of a request.
   *
   * @throws InvalidClient; TooManyRequests when its address has failed too often; InvalidRequest.
   */
  async authenticate(request: FastifyRequest, parameters: Parameters): Promise<ServiceClient> {
    try {
      const { client } = await this.verify(credentialsOf(request, parameters), request);
      this.countSuccess();
      return client;
    } catch (error) {
      if (!(error instanceof InvalidClient)) throw error;
      this.metrics.clientAuthentications.inc({ result: 'failure' });
      await this.countFailure(request);
      throw error;
    }
  }

  countSuccess(): void {
    this.metrics.clientAuthentications.inc({ result: 'success' });
  }

  /** The client whose id and secret an Authorization header holds, when nobody has to be asked for that; undefined otherwise. */
  recall(authorization = ''): ServiceClient | undefined {
    const { edition } = this.directory;
    if (this.edition !== edition) this.recalled.clear();
    this.edition = edition;
    const recalled = this.recalled.get(authorization);
    if (recalled) return recalled;
    const client = this.lookUp(authorization);
    if (client) this.recalled.set(authorization, client);
    return client;
  }

  private lookUp(authorization: string): ServiceClient | undefined {
    try {
      const { clientId, secret } = basicCredentials(authorization);
      const known = this.directory.recall(clientId);
      if (known) verifySecret(known, secret);
      return known?.client;
    } catch (error) {
      if (error instanceof InvalidClient) return undefined;
      throw error;
    }
  }

  private async countFailure(request: FastifyRequest): Promise<void> {
    if (this.config.rateLimits === 'off') return;
    const client = clientOf(request);
    const address = clientBlock(client.ip);
    const use = await this.limits.use('client_auth', address);
    if (use.isAllowed) return;
    await this.refusals.refuse('client_auth', use, { actor: { type: 'anonymous' }, client, details: { address } });
  }

  private async verify(credentials: ClientCredentials, request: FastifyRequest): Promise<KnownClient> {
    if (credentials.method === 'client_secret_basic') {
      const known = await this.find(credentials.clientId, request);
      verifySecret(known, credentials.secret);
      return known;
    }
    const known = await this.find(await subjectOf(credentials.assertion), request);
    await this.verifyAssertion(known, credentials.assertion, credentials.clientId);
    return known;
  }

  /** Names that nobody knows cost an address that has failed far too often no query any more. */
  private async find(id: string, request: FastifyRequest): Promise<KnownClient> {
    const isFlood = () => this.limits.isRefusedFromMemory('client_auth', clientBlock(clientOf(request).ip));
    const known = (await this.directory.find(id)) ?? (isFlood() ? undefined : await this.directory.findNew(id));
    if (!known) throw new InvalidClient('unknown_client');
    return known;
  }

  /** RFC 7523, sections 2.2 and 3. */
  private async verifyAssertion(
    { client: { id, jwks } }: KnownClient,
    assertion: string,
    clientId: string | undefined,
  ): Promise<void> {
    if (!jwks) throw new InvalidClient('client_without_keys');
    if (clientId !== undefined && clientId !== id) throw new InvalidClient('another_client_id');
    const { createLocalJWKSet, errors, jwtVerify } = await import('jose');
    const now = this.clock.now();
    let claims: JWTPayload;
    try {
      const keys = createLocalJWKSet(JSON.parse(jwks) as JSONWebKeySet);
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
    const used = { digest, expiresAt: plusSeconds(expiresAt, CLOCK_MARGIN_SECONDS) };
    if (!(await this.rows.useAssertion(used, now))) throw new InvalidClient('assertion_used');
  }
}

/** What an assertion may be addressed to besides the issuer. */
const ENDPOINTS = ['/oauth/introspect', '/oauth/revoke', '/oauth/revocations'];

function verifySecret({ secrets }: KnownClient, secret: string): void {
  const digest = Buffer.from(secretDigest(secret));
  if (!secrets.some((live) => timingSafeEqual(Buffer.from(live), digest))) throw new InvalidClient('wrong_secret');
}

async function subjectOf(assertion: string): Promise<string> {
  const { decodeJwt } = await import('jose');
  try {
    return decodeJwt(assertion).sub ?? '';
  } catch {
    throw new InvalidClient('assertion_not_a_jwt');
  }
}
