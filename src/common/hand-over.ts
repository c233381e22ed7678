/**
 * Answers that were asked for in the name of a request by somebody who then leaves it to somebody else: so that nobody asks twice,
 * and nobody waits twice for a database that does not answer.
 */
export class HandOver<T> {
  private readonly answers = new WeakMap<object, Promise<T>>();

  /** Leaves an answer for whoever goes on with a request. */
  leave(request: object, answer: Promise<T>): void {
    this.answers.set(request, answer);
  }

  /** The answer that was left for this request, if one was. */
  take(request: object): Promise<T> | undefined {
    return this.answers.get(request);
  }
}
