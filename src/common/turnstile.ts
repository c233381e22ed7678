/** A line that would take longer than this at the pace goes on at a turn of the event loop each, in milliseconds. */
const LONGEST_LINE_MS = 1_000;

/**
 * Lets in one at a time, in the order in which they came. A crowd that comes at once would have the event loop to itself until
 * its last one waits for something, and everybody else would wait for all of them.
 */
export class Turnstile {
  private readonly line: (() => void)[] = [];
  private lastAt = -Infinity;

  /** @param paceMs at least so long after the one before; below 1 it is a turn of the loop. */
  constructor(private readonly paceMs: number) {}

  /** Calls back when it is the caller's turn: at the next turn of the loop when nobody is or was just ahead. */
  enter(letIn: () => void): void {
    this.line.push(letIn);
    if (this.line.length === 1) this.wait();
  }

  private wait(): void {
    const waitMs = this.line.length * this.paceMs > LONGEST_LINE_MS ? 0 : this.lastAt + this.paceMs - performance.now();
    if (waitMs >= 1) setTimeout(this.next, waitMs);
    else setImmediate(this.next);
  }

  private readonly next = (): void => {
    this.lastAt = performance.now();
    this.line.shift()?.();
    if (this.line.length > 0) this.wait();
  };
}
