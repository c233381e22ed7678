/** A line that would take longer than this at the pace goes on at a turn of the event loop each, in milliseconds. */
const LONGEST_LINE_MS = 1_000;

/**
 * Lets in one at a time, in the order in which they came. A crowd that comes at once would have the event loop to itself until
 * its last one waits for something, and everybody else would wait for all of them.
 */
export class Turnstile {
  private readonly line: ((leave: () => void) => void)[] = [];
  private lastAt = -Infinity;
  /** Until the next one is let in, while it waits for the pace. */
  private timer: NodeJS.Timeout | undefined;

  /** @param paceMs at least so long after the one before, unless that has left; below 1 it is a turn of the event loop. */
  constructor(private readonly paceMs: number) {}

  /**
   * Calls back when it is the caller's turn: at the next turn of the loop when nobody is or was just ahead. Whoever was let in
   * calls `leave` when it has ended: those who are sent away at once hold nobody up.
   */
  enter(letIn: (leave: () => void) => void): void {
    this.line.push(letIn);
    if (this.line.length === 1) this.wait();
  }

  private wait(): void {
    const waitMs = this.line.length * this.paceMs > LONGEST_LINE_MS ? 0 : this.lastAt + this.paceMs - performance.now();
    if (waitMs >= 1) this.timer = setTimeout(this.next, waitMs);
    else setImmediate(this.next);
  }

  private readonly next = (): void => {
    const at = (this.lastAt = performance.now());
    this.timer = undefined;
    this.line.shift()?.(() => {
      if (this.lastAt === at) this.endPace();
    });
    if (this.line.length > 0) this.wait();
  };

  private endPace(): void {
    this.lastAt = -Infinity;
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    setImmediate(this.next);
  }
}
