/** `as_of` is in whole seconds, of a read up to a second ago, by the clock of one instance or another: they differ by less. */
const TOLERANCE_MS = 5_000;
/** By how much, at most, one of the clocks runs faster than the other. */
const DRIFT = 0.001;
/** After so long without an answer that is accepted, the server's clock is taken for one that was set back. */
const PATIENCE_MS = 10_000;
/** And after this long it is believed whatever it says; an answer from before is then long refused. */
const MEMORY_MS = 120_000;

/**
 * What time it must be at the server by now, from the answers so far: an answer that is older than that was held back, or
 * recorded and played again. Closer than to compare with our own clock, which may be a minute off.
 */
export class ServerTime {
  private latest: { asOfMs: number; at: number } | undefined;
  private notedAt = 0;
  private isDoubted = false;
  /** The latest `as_of` of an answer that was accepted, in seconds since the epoch; 0 before the first. */
  newest = 0;

  /** @param now the monotonic clock, in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** @param asOf seconds since the epoch. */
  isOld(asOf: number): boolean {
    const silenceMs = this.now() - this.notedAt;
    if (!this.latest || silenceMs > MEMORY_MS) return false;
    // What is later than everything we have accepted was not recorded before.
    const isSetBack = silenceMs > PATIENCE_MS;
    if ((isSetBack || this.isDoubted) && asOf <= this.newest) return true;
    return !isSetBack && asOf * 1000 + TOLERANCE_MS < this.expected(this.latest);
  }

  /** From here on nothing is accepted that may have been recorded before. */
  doubt(): void {
    this.isDoubted = true;
  }

  /** @param asOf of an answer that was accepted. */
  note(asOf: number): void {
    const silenceMs = this.now() - this.notedAt;
    this.notedAt = this.now();
    this.isDoubted = false;
    this.newest = silenceMs > MEMORY_MS ? asOf : Math.max(asOf, this.newest);
    if (!this.latest || silenceMs > PATIENCE_MS || asOf * 1000 >= this.expected(this.latest)) {
      this.latest = { asOfMs: asOf * 1000, at: this.now() };
    }
  }

  private expected({ asOfMs, at }: { asOfMs: number; at: number }): number {
    return asOfMs + (this.now() - at) * (1 - DRIFT);
  }
}
