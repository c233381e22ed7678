import DataLoader from 'dataloader';
import { Unavailable } from '../common/domain-error.js';
import { withinTime } from '../common/within-time.js';

const MAX_BATCH = 500;
const TIMEOUT_MS = 3_000;
const RETRY_AFTER_SECONDS = 1;

/**
 * Looks something up for many requests in few queries, and remembers nothing. Requests that are waiting at the same time
 * travel in one query; while one query is under way the next is collected, so that a request never joins a query that
 * started before the request arrived.
 */
export class BatchedLookup<Key, Value> {
  private readonly loader: DataLoader<Key, Value | undefined>;
  private readonly waiting: (() => void)[] = [];
  private inFlight = false;

  /**
   * @param name for the log.
   * @param read one query: what there is for these keys. A key may be in the list more than once.
   */
  constructor(
    private readonly name: string,
    private readonly read: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>,
  ) {
    this.loader = new DataLoader((keys) => this.ask(keys), {
      cache: false,
      maxBatchSize: MAX_BATCH,
      batchScheduleFn: (dispatch) => {
        this.waiting.push(dispatch);
        if (!this.inFlight) setImmediate(() => this.next());
      },
    });
  }

  /**
   * What there is for a key, as of a moment after this call; undefined when there is nothing.
   *
   * @throws Unavailable when the database does not answer in time: never a yes and never a no.
   */
  load(key: Key): Promise<Value | undefined> {
    return this.loader.load(key);
  }

  private next(): void {
    if (this.inFlight) return;
    const dispatch = this.waiting.shift();
    if (!dispatch) return;
    this.inFlight = true;
    dispatch();
  }

  private async ask(keys: readonly Key[]): Promise<(Value | undefined)[]> {
    try {
      const found = await withinTime(this.read(keys), TIMEOUT_MS);
      return keys.map((key) => found.get(key));
    } catch (error) {
      throw new Unavailable(this.name, RETRY_AFTER_SECONDS, error);
    } finally {
      this.inFlight = false;
      this.next();
    }
  }
}
