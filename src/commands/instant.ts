import { InvalidArgumentError } from 'commander';

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const DATE_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * An option's instant: a date of ISO 8601, which is 00:00 UTC of that day, or a date and time with its offset.
 *
 * @throws InvalidArgumentError for anything else, and for a day that the calendar does not have.
 */
export function parseInstant(text: string): Date {
  const instant = new Date(DATE.test(text) ? `${text}T00:00:00Z` : text);
  const isReal = (DATE.test(text) || DATE_TIME.test(text)) && !Number.isNaN(instant.getTime()) && hasDay(text);
  if (!isReal) throw new InvalidArgumentError('Give a date (2026-05-01, 00:00 UTC) or 2026-05-01T09:30:00Z.');
  return instant;
}

/** Date takes the 31st of April for the 1st of May. */
function hasDay(text: string): boolean {
  const day = text.slice(0, 10);
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

/** The same day and time of day so many calendar months before; the month's last day where it has no such day. */
export function monthsBefore(instant: Date, months: number): Date {
  const before = new Date(instant);
  before.setUTCMonth(before.getUTCMonth() - months);
  if (before.getUTCDate() !== instant.getUTCDate()) before.setUTCDate(0);
  return before;
}
