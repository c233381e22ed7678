import { Logger } from '@nestjs/common';

/**
 * Work that every instance does again and again beside the requests. One round at a time; a round that fails is logged and
 * the next one comes as if nothing had happened.
 */
export class BackgroundLoop {
  private readonly logger = new Logger(BackgroundLoop.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopping = false;

  /**
   * @param name goes into the log when a round fails.
   * @param intervalMs between two rounds, give or take a fifth, so that instances started together do not always meet.
   * @param round told whether the loop is stopping, so that a long one can end early.
   */
  constructor(
    private readonly name: string,
    private readonly intervalMs: number,
    private readonly round: (isStopping: () => boolean) => Promise<void>,
  ) {}

  /** The first round comes after one interval. */
  start(): void {
    if (this.isStopping) return;
    this.timer = setTimeout(
      () => {
        this.running = this.run();
      },
      this.intervalMs * (0.8 + 0.4 * Math.random()),
    );
    this.timer.unref();
  }

  /** No further round; returns when the present one is over. */
  async stop(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private async run(): Promise<void> {
    try {
      await this.round(() => this.isStopping);
    } catch (error) {
      this.logger.warn({ event: 'background_work_failed', reason: this.name, err: error });
    }
    this.start();
  }
}
