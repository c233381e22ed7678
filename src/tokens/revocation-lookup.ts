import { Injectable } from '@nestjs/common';
import DataLoader from 'dataloader';
import { Unavailable } from '../common/domain-error.js';
import { withinTime } from '../common/within-time.js';
import { Metrics } from '../metrics/metrics.js';
import { RevocationRepository, type RevocableToken } from './revocation.repository.js';

const MAX_BATCH = 500;
const LOOKUP_TIMEOUT_MS = 3_000;
const RETRY_AFTER_SECONDS = 1;

/**
 * Asks the revocation table, for every request, about that request's token: no answer is remembered. Requests that
 * are waiting at the same time travel in one query; while one query is under way the next is collected, so that a
 * request never joins a query that started before the request arrived.
 */
@Injectable()
export class RevocationLookup {
  private readonly loader: DataLoader<RevocableToken, boolean>;
  private readonly waiting: (() => void)[] = [];
  private inFlight = false;

  constructor(
    private readonly revocations: RevocationRepository,
    private readonly metrics: Metrics,
  ) {
    this.loader = new DataLoader((tokens) => this.ask(tokens), {
      cache: false,
      maxBatchSize: MAX_BATCH,
      batchScheduleFn: (dispatch) => {
        this.waiting.push(dispatch);
        if (!this.inFlight) setImmediate(() => this.next());
      },
    });
  }

  /**
   * Whether the session of a token is revoked, or its account's tokens of before an instant, or the key that signed it, as of a
   * moment after this call.
   *
   * @throws Unavailable when the database does not answer in time: never a yes and never a no.
   */
  isRevoked(token: RevocableToken): Promise<boolean> {
    return this.loader.load(token);
  }

  private next(): void {
    if (this.inFlight) return;
    const dispatch = this.waiting.shift();
    if (!dispatch) return;
    this.inFlight = true;
    dispatch();
  }

  private async ask(tokens: readonly RevocableToken[]): Promise<boolean[]> {
    this.metrics.revocationBatch.observe(tokens.length);
    try {
      const revoked = await withinTime(this.revocations.findRevoked(tokens), LOOKUP_TIMEOUT_MS);
      this.metrics.revocationLookups.inc({ result: 'answered' }, tokens.length);
      return revoked;
    } catch (error) {
      this.metrics.revocationLookups.inc({ result: 'failed' }, tokens.length);
      throw new Unavailable('revocation_lookup', RETRY_AFTER_SECONDS, error);
    } finally {
      this.inFlight = false;
      this.next();
    }
  }
}
