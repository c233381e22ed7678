/**
 * Runs something one at a time. Who asks while it runs shares the next run, not this one, which may have read before what
 * they want to know of was there.
 */
export class Coalesced<T> {
  private running: Promise<T> | undefined;
  private next: Promise<T> | undefined;

  constructor(private readonly work: () => Promise<T>) {}

  /** What comes of a run that begins after this call. */
  run(): Promise<T> {
    const start = () => {
      this.next = undefined;
      this.running = this.work().finally(() => (this.running = undefined));
      return this.running;
    };
    if (this.next) return this.next;
    if (!this.running) return start();
    this.next = this.running.then(start, start);
    return this.next;
  }
}
