/** `as_of` is in whole seconds, of a read up to a second ago, by the clock of one instance or another: they differ by less. */
const TOLERANCE_MS = 5_000;
/** By how much, at most, one of the clocks runs faster than the other. */
const DRIFT = 0.001;
/** A server whose clock was set back is believed again after this long; an answer from before is then long refused. */
const MEMORY_MS = 120_000;

/**
 * What time it must be at the server by now, from the answers so far: an answer that is older than that was held back, or
 * recorded and played again. Closer than to compare with our own clock, which may be a minute off.
 */
export class ServerTime {
  private latest: { asOfMs: number; at: number } | undefined;
  private notedAt = 0;

  /** @param now the monotonic clock, in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** @param asOf seconds since the epoch. */
  isOld(asOf: number): boolean {
    if (!this.latest || this.now() - this.notedAt > MEMORY_MS) return false;
    return asOf * 1000 + TOLERANCE_MS < this.expected(this.latest);
  }

  /** @param asOf of an answer that was accepted. */
  note(asOf: number): void {
    const isForgotten = this.now() - this.notedAt > MEMORY_MS;
    this.notedAt = this.now();
    if (!this.latest || isForgotten || asOf * 1000 >= this.expected(this.latest)) {
      this.latest = { asOfMs: asOf * 1000, at: this.now() };
    }
  }

  private expected({ asOfMs, at }: { asOfMs: number; at: number }): number {
    return asOfMs + (this.now() - at) * (1 - DRIFT);
  }
}
