// For the few queries of every request that are written by hand, because building them would cost more than answering them.

/** An instant as the driver gives it: SQLite has no dates. */
export type RawInstant = Date | string;

export function instantOf(value: RawInstant): Date {
  return value instanceof Date ? value : new Date(`${value.replace(' ', 'T')}Z`);
}

/** The inside of `IN (…)` for so many values. */
export function placeholders(count: number): string {
  return '?,'.repeat(count).slice(0, -1);
}
