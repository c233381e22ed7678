import type { Writable } from 'node:stream';

const INTERVAL_MS = 250;
const CLEAR_LINE = '\r\x1b[K';

/** How far a long command is: one line of a terminal, written over and over. Where there is no terminal, nothing. */
export class Progress {
  private shownAt = 0;
  private isShown = false;

  /**
   * @param noun what is counted.
   * @param total how much there is to do; undefined when nobody knows.
   * @param terminal undefined when it is none.
   */
  constructor(
    private readonly noun: string,
    private readonly total: number | undefined,
    private readonly terminal: Writable | undefined = process.stderr.isTTY ? process.stderr : undefined,
    private readonly now: () => number = Date.now,
  ) {}

  /** @param done of `total`: the count itself, or what it is measured in. */
  show(count: number, done = count): void {
    if (!this.terminal || this.now() - this.shownAt < INTERVAL_MS) return;
    this.shownAt = this.now();
    this.isShown = true;
    const share = this.total ? `, ${Math.min(100, Math.floor((100 * done) / this.total))} %` : '';
    this.terminal.write(`${CLEAR_LINE}${count} ${this.noun}${share}`);
  }

  /** Takes the line away, for what is written next. */
  clear(): void {
    if (this.isShown) this.terminal?.write(CLEAR_LINE);
    this.isShown = false;
  }
}
