import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric } from 'prom-client';
import { RequestHistogram } from './request-histogram.js';

const PREFIX = 'gatehouse_';
const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/** What a hash was computed for: a password that is stored, nothing that is (equal work), or a new password. */
export type HashPurpose = 'check' | 'decoy' | 'new';

/**
 * What `/metrics` shows, for one application. Labels come from closed sets of ours, never from a request: an address or a
 * path as a label would let anybody fill the memory. What has an owner with a present value is registered by it, with
 * `gauge`.
 */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  readonly requestSeconds = new RequestHistogram(
    `${PREFIX}http_request_duration_seconds`,
    'Time from request to answer, by route pattern and status.',
  );
  readonly httpRefused = this.counter(
    'http_refused_total',
    'Connections closed to make room, and requests that could not be read.',
    ['reason'],
  );
  readonly passwordHashes = this.counter(
    'password_hashes_total',
    'bcrypt hashes computed: check (a stored password), decoy (nothing to check, equal work), new (to be stored).',
    ['purpose'],
  );
  readonly passwordHashRefusals = this.counter('password_hash_refusals_total', 'Hashes refused by a full queue: 503.');
  readonly loginAttempts = this.counter('login_attempts_total', 'Logins tried, by what came of them.', ['result']);
  readonly locks = this.counter(
    'locks_total',
    'Locks after wrong passwords: lock (for LOCK_SECONDS) or disable (until recovery).',
    ['kind'],
  );
  readonly budgetRefusals = this.counter('budget_refusals_total', 'Uses refused because a budget was spent.', [
    'budget',
  ]);
  readonly stuffingAlerts = this.counter(
    'stuffing_alerts_total',
    'Client addresses that failed at more accounts than ALERT_ACCOUNTS_PER_ADDRESS allows.',
  );
  readonly breachedPasswords = this.counter(
    'breached_passwords_total',
    'Passwords found in breaches: refused when they were new, told of when they were in use.',
    ['list', 'use'],
  );
  readonly breachCheckFailures = this.counter(
    'breach_check_failures_total',
    'Checks that HIBP_URL did not answer; the password was let pass.',
  );
  readonly sessionsOpened = this.counter('sessions_opened_total', 'Logins that opened a session.');
  readonly sessionsEnded = this.counter('sessions_ended_total', 'Sessions that ended, by why.', ['reason']);
  readonly refreshReplays = this.counter('refresh_replays_total', 'Refresh tokens used again after their time.');
  readonly revocationLookups = this.counter('revocation_lookups_total', 'Tokens asked about, by whether it worked.', [
    'result',
  ]);
  readonly revocationBatch = this.add(
    new Histogram({
      name: `${PREFIX}revocation_lookup_batch_size`,
      help: 'Tokens asked about in one query.',
      buckets: BATCH_BUCKETS,
      registers: [],
    }),
  );
  readonly clientAuthentications = this.counter(
    'client_authentications_total',
    'Requests of services, by whether they proved who they are.',
    ['result'],
  );
  readonly auditEvents = this.counter('audit_events_total', 'Events recorded, by type and outcome.', [
    'type',
    'outcome',
  ]);
  readonly auditTampering = this.counter('audit_tampering_total', 'Events found changed or missing when sealed.');

  constructor() {
    this.registry.registerMetric(this.requestSeconds as unknown as Metric);
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX });
  }

  /**
   * A value that is asked for at every scrape. One that cannot be had just now (a database that does not answer) is left
   * out of that scrape.
   */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number | undefined>): void {
    this.add(
      new Gauge({
        name: PREFIX + name,
        help,
        registers: [],
        async collect() {
          this.reset();
          try {
            const value = await read();
            if (value === undefined) this.remove();
            else this.set(value);
          } catch {
            this.remove();
          }
        },
      }),
    );
  }

  /** A value for each of several, by a label whose values an operator has given. */
  gaugeBy(name: string, help: string, label: string, read: () => [labelValue: string, value: number][]): void {
    this.add(
      new Gauge({
        name: PREFIX + name,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          this.reset();
          for (const [labelValue, value] of read()) this.set({ [label]: labelValue }, value);
        },
      }),
    );
  }

  private counter<T extends string = string>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return this.add(new Counter({ name: PREFIX + name, help, labelNames, registers: [] }));
  }

  private add<T extends Counter<string> | Gauge | Histogram<string>>(metric: T): T {
    this.registry.registerMetric(metric);
    return metric;
  }
}
