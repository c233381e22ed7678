import { Injectable } from '@nestjs/common';
import { Clock, secondsSince } from '../common/clock.js';
import { Metrics } from '../metrics/metrics.js';
import { RevocationFeed, type Cursor } from '../tokens/revocation-feed.js';
import type { ServiceClient } from './service-client.entity.js';
import { ServiceClientRepository } from './service-client.repository.js';

/** A service that waits for news asks more often. */
const SILENT_SECONDS = 60;
/** A service that has been silent for so long is out of use, or asks another instance; an alert has been for long enough. */
const FORGOTTEN_SECONDS = 3_600;

/** How far each service has heard, by the cursors that it presents here. What another instance is asked, that one knows. */
@Injectable()
export class VerifierLag {
  private readonly heard = new Map<string, { cursor: Cursor | undefined; at: Date }>();

  constructor(
    private readonly clock: Clock,
    private readonly feed: RevocationFeed,
    private readonly clients: ServiceClientRepository,
    metrics: Metrics,
  ) {
    metrics.gaugeBy('verifier_lag', 'Revocations that a service has not heard of.', 'client', () =>
      [...this.heard].map(([client, { cursor }]) => [client, this.feed.lagOf(cursor)]),
    );
    metrics.gaugeBy('verifier_silent_seconds', 'Since when a service has not asked here.', 'client', () => {
      this.forgetSilent();
      void this.forgetDisabled();
      return [...this.heard].map(([client, { at }]) => [client, secondsSince(at, this.clock.now())]);
    });
    metrics.gauge('feed_waiting', 'Requests that wait for news of the feed.', () => this.feed.waiters);
  }

  /** A service asks for what came after this cursor. */
  note({ name }: ServiceClient, cursor: Cursor | undefined): void {
    this.heard.set(name, { cursor, at: this.clock.now() });
  }

  private forgetSilent(): void {
    for (const [name] of this.silentFor(FORGOTTEN_SECONDS)) this.heard.delete(name);
  }

  /** A service that an operator has disabled, as of the next scrape. Asks the database only where one is silent. */
  private async forgetDisabled(): Promise<void> {
    const silent = this.silentFor(SILENT_SECONDS);
    if (silent.length === 0) return;
    const all = await this.clients.findAll().catch(() => undefined); // they are shown until it can be known
    const live = all?.filter(({ disabledAt }) => disabledAt === null).map(({ name }) => name);
    for (const [name] of silent) if (live?.includes(name) === false) this.heard.delete(name);
  }

  private silentFor(seconds: number): [name: string, { at: Date }][] {
    const now = this.clock.now();
    return [...this.heard].filter(([, { at }]) => secondsSince(at, now) >= seconds);
  }
}
