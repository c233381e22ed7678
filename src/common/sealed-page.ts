import type { EntityManager } from 'typeorm';
import type { Resealed } from './master-keys.js';

/** Rows that hold something sealed, as they were read. */
export interface SealedPage {
  /** The last row's; undefined when there are no more. */
  lastId: string | undefined;
  /** Seals each again, in their order. @returns what became of each; undefined where somebody else was first. */
  reseal(transaction: EntityManager): Promise<(Resealed | undefined)[]>;
}

/**
 * A page of rows, read outside of the transaction that changes them: on SQLite one that has read before it writes fails when
 * another process has written in between.
 *
 * @param replace puts the new value in place of the one that was seen, and says whether that was still there.
 */
export function sealedPage<Row>(
  rows: readonly Row[],
  lastId: string | undefined,
  reseal: (row: Row) => Resealed,
  replace: (row: Row, sealed: string, transaction: EntityManager) => Promise<boolean>,
): SealedPage {
  return {
    lastId,
    reseal: async (transaction) => {
      const outcomes: (Resealed | undefined)[] = [];
      for (const row of rows) {
        const resealed = reseal(row);
        const isDone = typeof resealed === 'string' || (await replace(row, resealed.sealed, transaction));
        outcomes.push(isDone ? resealed : undefined);
      }
      return outcomes;
    },
  };
}
