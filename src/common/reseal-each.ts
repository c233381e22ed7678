import type { Resealed } from './master-keys.js';

/**
 * Seals a value of each row again, in their order.
 *
 * @param replace puts the new value in place of the one that was seen, and says whether that was still there.
 * @returns what became of each; undefined where somebody else was first.
 */
export async function resealEach<Row>(
  rows: readonly Row[],
  reseal: (row: Row) => Resealed,
  replace: (row: Row, sealed: string) => Promise<boolean>,
): Promise<(Resealed | undefined)[]> {
  const outcomes: (Resealed | undefined)[] = [];
  for (const row of rows) {
    const resealed = reseal(row);
    const isDone = typeof resealed === 'string' || (await replace(row, resealed.sealed));
    outcomes.push(isDone ? resealed : undefined);
  }
  return outcomes;
}
