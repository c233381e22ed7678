import { availableParallelism, cpus } from 'node:os';
import { hasWrk } from './wrk.mjs';

const number = (name, otherwise) => {
  const value = Number(process.env[name] ?? otherwise);
  if (!(value > 0)) throw new Error(`${name} must be a number above 0`);
  return value;
};

function loadGenerator() {
  const wanted = process.env.BENCH_LOAD ?? (hasWrk() ? 'wrk' : 'autocannon');
  if (!['wrk', 'autocannon'].includes(wanted)) throw new Error('BENCH_LOAD must be wrk or autocannon');
  if (wanted === 'wrk' && !hasWrk()) throw new Error('BENCH_LOAD is wrk, and there is none: install it (Debian: wrk)');
  return wanted;
}

/** What a run was measured with; it is part of the result. */
export const settings = {
  database: (process.env.DATABASE_URL ?? '').startsWith('mysql:') ? 'MySQL' : 'SQLite',
  node: process.version,
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  /** What requests as many as the server takes. */
  load: loadGenerator(),
  /** Length of one measurement. */
  seconds: number('BENCH_SECONDS', 6),
  /** Measurements of each kind; the median counts. */
  rounds: number('BENCH_ROUNDS', 3),
  /** Revocations and users in the large database of `growth`. */
  rows: number('BENCH_ROWS', 1_000_000),
};
