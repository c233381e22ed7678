/** A moment, by both clocks. */
export interface Mark {
  mono: number;
  wall: number;
}

/**
 * Measures how long ago something was: the longer of what the monotonic clock says, which nobody sets, and the wall clock,
 * which goes on while the machine is suspended. What is stale by either is stale, and by a clock that is out of order
 * everything is.
 */
export class Stopwatch {
  constructor(private readonly clock: () => number) {}

  mark(): Mark {
    return { mono: performance.now(), wall: this.clock() };
  }

  /** Milliseconds. */
  since({ mono, wall }: Mark): number {
    const elapsedMs = Math.max(performance.now() - mono, this.clock() - wall);
    return Number.isNaN(elapsedMs) ? Infinity : elapsedMs;
  }
}
