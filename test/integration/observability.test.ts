import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MetricsServer } from '../../src/metrics/metrics.server.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer } from '../support/server-process.js';

const ALERTS = 'docker/observability/alerts.yml';
const DASHBOARD = 'docker/observability/grafana/dashboards/gatehouse.json';
const OPERATIONS = 'docs/operations.md';

/** What a query may ask of a histogram. */
const HISTOGRAM_PARTS = ['_bucket', '_sum', '_count'];
const metricOf = (series: string) => series.replace(/_(bucket|sum|count)$/, '');
const PROCESS = /^gatehouse_(process|nodejs)_/;
/** SQLite has one connection and nothing to tell of it. */
const isThere = (name: string) => isDatabaseServer() || !name.startsWith('gatehouse_database_');

let gatehouse: Gatehouse;
/** The label names of everything that a server shows, by the name of the series. */
let labels: Map<string, string[]>;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  const { address, port } = gatehouse.app.get(MetricsServer).address;
  const text = await (await fetch(`http://${address}:${port}/metrics`)).text();
  const shown = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({ name, type }));
  labels = new Map(shown.flatMap(({ name, type }) => seriesOf(name, type === 'histogram')));
});
afterAll(() => gatehouse.stop());

function seriesOf(name: string, isHistogram: boolean): [string, string[]][] {
  const { labelNames } = gatehouse.app.get(Metrics).registry.getSingleMetric(name) as unknown as {
    labelNames: string[];
  };
  const known = [...labelNames, 'job', 'instance'];
  if (!isHistogram) return [[name, known]];
  return HISTOGRAM_PARTS.map((part) => [name + part, part === '_bucket' ? [...known, 'le'] : known]);
}

const read = (file: string) => readFileSync(file, 'utf8').replaceAll('\\"', '"');
const namesIn = (text: string) => [...new Set(text.match(/\bgatehouse_\w+/g))].filter(isThere);

describe.each([ALERTS, DASHBOARD])('%s', (file) => {
  test('asks for nothing that a running server does not show', () => {
    const names = namesIn(read(file));
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !labels.has(name))).toEqual([]);
  });

  test('selects by labels that there are', () => {
    for (const [, name = '', selector = ''] of read(file).matchAll(/\b(gatehouse_\w+)\{([^}]*)\}/g)) {
      if (!isThere(name)) continue;
      const selected = [...selector.matchAll(/(\w+)\s*[=!]/g)].map(([, label = '']) => label);
      expect(labels.get(name), name).toEqual(expect.arrayContaining(selected));
    }
  });
});

/** What we count ourselves, without what is told of every process. */
const ours = () => [...new Set([...labels.keys()].map(metricOf))].filter((name) => !PROCESS.test(name)).sort();

test('the dashboard shows everything that we count', () => {
  const shown = namesIn(read(DASHBOARD)).map(metricOf);
  expect(ours().filter((name) => !shown.includes(name))).toEqual([]);
});

test('the table for operators has every metric of ours, and no other', () => {
  const table = /^\| metric \|[^]*?\n\n/m.exec(read(OPERATIONS))?.[0] ?? '';
  expect(namesIn(table).sort()).toEqual(ours());
});
