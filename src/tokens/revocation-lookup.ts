import { Injectable } from '@nestjs/common';
import { HandOver } from '../common/hand-over.js';
import { BatchedLookup } from '../database/batched-lookup.js';
import { Metrics } from '../metrics/metrics.js';
import { RevocationRepository, type RevocableToken } from './revocation.repository.js';

/** Asks the revocation table, for every request, about that request's token: no answer is remembered. */
@Injectable()
export class RevocationLookup {
  /** Answers for requests that a shortcut has left to their routes. */
  readonly handedOver = new HandOver<boolean>();
  private readonly lookup: BatchedLookup<RevocableToken, boolean>;

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
}
