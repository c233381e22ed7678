import DataLoader from 'dataloader';
import { Unavailable } from '../common/domain-error.js';
import { withinTime } from '../common/within-time.js';

const MAX_BATCH = 500;
const TIMEOUT_MS = 3_000;
const RETRY_AFTER_SECONDS = 1;

/** Told of each batch: how many keys it has, and whether it was answered in time. */
export type BatchObserver = (size: number, isAnswered: boolean) => void;

/**
 * Looks something up for many requests in few queries, and remembers nothing. Requests that are waiting at the same time
 * travel in one query; while one query is under way the next is collected, so that a request never joins a query that
 * started before the request arrived.
 */
export class BatchedLookup<Key, Value> {
  private readonly loader: DataLoader<Key, Value>;
  private readonly waiting: (() => void)[] = [];
  private inFlight = false;

  /**
   * @param name for the log.
   * @param read one query: the values of these keys, in their order. A key may be in the list more than once.
   */
  constructor(
    private readonly name: string,
    private readonly read: (keys: readonly Key[]) => Promise<readonly Value[]>,
    private readonly observe: BatchObserver = () => undefined,
  ) {
    this.loader = new DataLoader((keys) => this.ask(keys), {
      cache: false,
      maxBatchSize: MAX_BATCH,
      batchScheduleFn: (dispatch) => {
        this.waiting.push(dispatch);
        if (!this.inFlight) this.schedule();
      },
    });
  }

  /**
   * The value of a key, as of a moment after this call.
   *
   * @throws Unavailable when the database does not answer in time: never a yes and never a no.
   */
  load(key: Key): Promise<Value> {
    return this.loader.load(key);
  }

  /**
   * After one whole turn of the event loop: whoever has just had an answer sends the next request upon it, and those that
   * have arrived by then travel together. Nearly twice as many in a query (docs/adr/0011-speed.md). Those who have come while
   * a query was under way leave when it ends.
   */
  private schedule(): void {
    setImmediate(() => setImmediate(() => this.next()));
  }

  private next(): void {
    if (this.inFlight) return;
    const dispatch = this.waiting.shift();
    if (!dispatch) return;
    this.inFlight = true;
    dispatch();
  }

  private async ask(keys: readonly Key[]): Promise<readonly Value[]> {
    let isAnswered = false;
    try {
      const values = await withinTime(this.read(keys), TIMEOUT_MS);
      isAnswered = true;
      return values;
    } catch (error) {
      throw new Unavailable(this.name, RETRY_AFTER_SECONDS, error);
    } finally {
      this.observe(keys.length, isAnswered);
      this.inFlight = false;
      this.next();
    }
  }
}
