import { Controller, Get, Post, Req, Res, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '../common/openapi-decorators.js';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Public } from '../common/principal.js';
import { CallingClient, ClientGuard, Parameter } from './client.guard.js';
import { FeedService } from './feed.service.js';
import { InvalidRequest } from './oauth.errors.js';
import { ApiClient, ApiForm, ApiOAuthErrors } from './oauth.openapi.js';
import type { ServiceClient } from './service-client.entity.js';

const MAX_WAIT_SECONDS = 25;

const FEED = {
  description:
    'A compact JWS with `typ` `revocations+jwt` under a key of the JWKS. Its payload: `issuer`; `cursor`, for the next request; ' +
    '`as_of`, when the table was read; `full`, whether `entries` is everything that is live and replaces what you have; ' +
    '`entries`, each with `kind`, `value` (the text of that claim), `expires_at`, and `not_before` for a `sub`. Times are ' +
    'seconds since the epoch.',
  content: { 'application/jwt': { schema: { type: 'string' as const } } },
};

const OPERATION = {
  summary: 'What was revoked: the feed for services that verify by themselves',
  description:
    'Without `since` everything that is live; with it what came after, waiting up to `wait` seconds for news. A cursor that ' +
    'is not known, or too old, has everything. docs/integrate.md tells how to use it.',
};

@ApiTags('Integration')
@ApiClient()
@Controller('oauth')
export class FeedController {
  constructor(private readonly feed: FeedService) {}

  @Public()
  @UseGuards(ClientGuard)
  @Get('revocations')
  @ApiOperation(OPERATION)
  @ApiQuery({ name: 'since', required: false, description: 'The `cursor` of the answer before.' })
  @ApiQuery({
    name: 'wait',
    required: false,
    schema: { type: 'integer', minimum: 0, maximum: MAX_WAIT_SECONDS, default: 0 },
    description: 'Seconds.',
  })
  @ApiOkResponse(FEED)
  @ApiOAuthErrors(400, 401, 429, 503)
  async revocations(
    @Parameter('since') since: string | undefined,
    @Parameter('wait') wait: string | undefined,
    @CallingClient() client: ServiceClient,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const gone = new AbortController();
    // Not the request's `close`: a request is closed once its body has been read.
    reply.raw.once('close', () => gone.abort());
    if (request.raw.socket.destroyed) gone.abort();
    const signed = await this.feed.next(client, since, secondsOf(wait), gone.signal);
    reply.type('application/jwt');
    return signed;
  }

  /** The same for a client that signs its requests: an assertion travels in a form. */
  @Public()
  @UseGuards(ClientGuard)
  @Post('revocations')
  @ApiOperation({ ...OPERATION, operationId: 'revocationsByForm', summary: `${OPERATION.summary}, as a form` })
  @ApiForm(
    {
      since: { type: 'string', description: 'The `cursor` of the answer before.' },
      wait: { type: 'string', description: 'Seconds, 0 to 25.' },
    },
    [],
  )
  @ApiOkResponse(FEED)
  @ApiOAuthErrors(400, 401, 429, 503)
  revocationsByForm(
    @Parameter('since') since: string | undefined,
    @Parameter('wait') wait: string | undefined,
    @CallingClient() client: ServiceClient,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    reply.status(200);
    return this.revocations(since, wait, client, request, reply);
  }
}

function secondsOf(wait = '0'): number {
  if (!/^\d{1,2}$/.test(wait) || Number(wait) > MAX_WAIT_SECONDS) {
    throw new InvalidRequest(`The parameter wait must be 0 to ${MAX_WAIT_SECONDS} seconds.`);
  }
  return Number(wait);
}
