import type { Worker } from 'node:worker_threads';

/**
 * The threads of a pool, and whether they have loaded what they need. One that is ended while it loads an ES module or a
 * native one takes the process with it: Node aborts (seen with 20.20: an assertion of `ModuleWrap`, or an uncaught `Napi::Error`).
 */
export class LoadingThreads {
  private readonly loads = new WeakMap<Worker, Promise<void>>();

  /** To be called with new ones, as soon as there are. Each says one thing by itself, when it has loaded (piscina's "ready"). */
  note(threads: readonly Worker[]): void {
    for (const thread of threads) this.loads.set(thread, isOver(thread));
  }

  /** Returns when all of them that were noted have loaded, or have ended by themselves. */
  async finished(threads: readonly Worker[]): Promise<void> {
    await Promise.all(threads.map((thread) => this.loads.get(thread) ?? Promise.resolve()));
  }
}

function isOver(thread: Worker): Promise<void> {
  return new Promise((resolve) => {
    for (const event of ['message', 'error', 'exit']) thread.once(event, () => resolve());
  });
}
