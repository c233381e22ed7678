import { Injectable } from '@nestjs/common';

/** The time as an input: services ask this, tests replace it. */
@Injectable()
export class Clock {
  /** Now, in UTC, with milliseconds. */
  now(): Date {
    return new Date();
  }
}

/** The instant `seconds` after `instant`. */
export function plusSeconds(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}

/** For how many seconds `instant` has been over; 0 for none, and for one that another machine's clock has put ahead of `now`. */
export function secondsSince(instant: Date | undefined, now: Date): number {
  return instant ? Math.max(0, now.getTime() - instant.getTime()) / 1000 : 0;
}

/** Seconds since the epoch, rounded down (RFC 7519 NumericDate, whole seconds). */
export function epochSeconds(instant: Date): number {
  return Math.floor(instant.getTime() / 1000);
}
