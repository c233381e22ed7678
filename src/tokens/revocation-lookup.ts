import { Injectable } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';
import { BatchedLookup } from '../database/batched-lookup.js';
import { Metrics } from '../metrics/metrics.js';
import { RevocationRepository, type RevocableToken } from './revocation.repository.js';

/** Asks the revocation table, for every request, about that request's token: no answer is remembered. */
@Injectable()
export class RevocationLookup {
  private readonly lookup: BatchedLookup<RevocableToken, boolean>;
  private readonly answers = new WeakMap<IncomingMessage, Promise<boolean>>();

  constructor(revocations: RevocationRepository, metrics: Metrics) {
    this.lookup = new BatchedLookup(
      'revocation_lookup',
      (tokens) => revocations.findRevoked(tokens),
      (size, isAnswered) => {
        metrics.revocationBatch.observe(size);
        metrics.revocationLookups.inc({ result: isAnswered ? 'answered' : 'failed' }, size);
      },
    );
  }

  /**
   * Whether the session of a token is revoked, or its account's tokens of before an instant, or the key that signed it, as of a
   * moment after this call.
   *
   * @throws Unavailable when the database does not answer in time: never a yes and never a no.
   */
  isRevoked(token: RevocableToken): Promise<boolean> {
    return this.lookup.load(token);
  }

  /** Leaves an answer for whoever goes on with a request, so that it is not asked for twice. */
  handOver(request: IncomingMessage, isRevoked: Promise<boolean>): void {
    this.answers.set(request, isRevoked);
  }

  /** The answer that was left for this request, if one was. */
  handedOver(request: IncomingMessage): Promise<boolean> | undefined {
    return this.answers.get(request);
  }
}
