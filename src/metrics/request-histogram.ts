import type { MetricObjectWithValues, MetricValueWithName } from 'prom-client';

/** Seconds. A login is one bcrypt hash long, a checked request a few milliseconds. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  labels: { method: string; route: string; status: string };
  /** Answers of each bucket alone; the last is of those that took longer. */
  counts: number[];
  sum: number;
}

/**
 * How long answers take, by method, route and status, as prom-client's registry takes a metric. prom-client's own histogram
 * looks its labels over again at every answer, which costs as much as finding the route (docs/adr/0011-speed.md).
 */
export class RequestHistogram {
  readonly labelNames = ['method', 'route', 'status'];
  private readonly series = new Map<string, Series>();

  constructor(
    readonly name: string,
    readonly help: string,
  ) {}

  /** @param route its pattern: a path of a client's would be a label without end. */
  observe(method: string, route: string, status: number, seconds: number): void {
    const key = `${method} ${status} ${route}`;
    let series = this.series.get(key);
    if (!series) {
      series = { labels: { method, route, status: String(status) }, counts: BOUNDS.map(() => 0).concat(0), sum: 0 };
      this.series.set(key, series);
    }
    let bucket = 0;
    while (seconds > (BOUNDS[bucket] as number)) bucket++;
    (series.counts[bucket] as number) += 1;
    series.sum += seconds;
  }

  /** What the registry asks a metric for. */
  get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { name, help } = this;
    const values = [...this.series.values()].flatMap((series) => samplesOf(name, series));
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values } as never);
  }
}

/** As the text format has a histogram: each bucket counts those below it too. */
function samplesOf(name: string, { labels, counts, sum }: Series): MetricValueWithName<string>[] {
  let count = 0;
  const buckets = [...BOUNDS, '+Inf'].map((le, i) => {
    count += counts[i] as number;
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
