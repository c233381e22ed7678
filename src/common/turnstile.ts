/**
 * Lets one through at each turn of the event loop, in the order in which they came. A crowd that comes at once would have the
 * loop to itself until its last one waits for something, and everybody else would wait for all of them.
 */
export class Turnstile {
  private readonly waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn; at the next turn of the loop when nobody is ahead. */
  pass(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (this.waiting.length === 1) setImmediate(this.next);
    });
  }

  private readonly next = (): void => {
    this.waiting.shift()?.();
    if (this.waiting.length > 0) setImmediate(this.next);
  };
}
