import { Histogram, Registry, type Metric } from 'prom-client';
import { expect, test } from 'vitest';
import { RequestHistogram } from '../../../src/metrics/request-histogram.js';

const NAME = 'http_request_duration_seconds';
const HELP = 'Time from request to answer.';
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

test('it is shown as a histogram of prom-client with the same observations is', async () => {
  const ours = new Registry();
  const theirs = new Registry();
  const histogram = new RequestHistogram(NAME, HELP);
  ours.registerMetric(histogram as unknown as Metric);
  const reference = new Histogram({
    name: NAME,
    help: HELP,
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    registers: [theirs],
  });
  expect(await ours.metrics()).toBe(await theirs.metrics());

  const seconds = [0, ...BUCKETS, ...BUCKETS.map((bound) => bound + 1e-9), 10.5, 86_400];
  for (const [i, value] of seconds.entries()) {
    const [method, route, status] = [i % 2 ? 'GET' : 'POST', i % 3 ? '/users/me' : 'a "quoted" one', i % 5 ? 200 : 503];
    histogram.observe(method, route, status, value);
    reference.observe({ method, route, status: String(status) }, value);
  }
  const lines = (text: string) => text.split('\n').sort();
  expect(lines(await ours.metrics())).toEqual(lines(await theirs.metrics()));
  expect(await ours.metrics()).toContain('le="+Inf"');
});
