import { Metrics } from '../../src/metrics/metrics.js';
import type { Gatehouse } from './gatehouse.js';

/** The value of one line of `/metrics`, labels as they are printed; 0 where there is none yet. */
export async function metric(gatehouse: Gatehouse, name: string): Promise<number> {
  const text = await gatehouse.app.get(Metrics).registry.metrics();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}
