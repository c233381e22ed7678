import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Metrics } from '../metrics/metrics.js';
import { RevocationFeed, type Cursor } from '../tokens/revocation-feed.js';
import type { ServiceClient } from './service-client.entity.js';

/** How far each service has heard, by the cursors that it presents here. What another instance is asked, that one knows. */
@Injectable()
export class VerifierLag {
  private readonly heard = new Map<string, { cursor: Cursor | undefined; at: Date }>();

  constructor(
    private readonly clock: Clock,
    private readonly feed: RevocationFeed,
    metrics: Metrics,
  ) {
    metrics.gaugeBy('verifier_lag', 'Revocations that a service has not heard of.', 'client', () =>
      [...this.heard].map(([client, { cursor }]) => [client, this.feed.lagOf(cursor)]),
    );
    metrics.gaugeBy('verifier_silent_seconds', 'Since when a service has not asked here.', 'client', () =>
      [...this.heard].map(([client, { at }]) => [client, (this.clock.now().getTime() - at.getTime()) / 1000]),
    );
    metrics.gauge('feed_waiting', 'Requests that wait for news of the feed.', () => this.feed.waiters);
  }

  /** A service asks for what came after this cursor. */
  note({ name }: ServiceClient, cursor: Cursor | undefined): void {
    this.heard.set(name, { cursor, at: this.clock.now() });
  }
}
