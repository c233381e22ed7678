import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { createHmac, randomBytes } from 'node:crypto';
import { Piscina } from 'piscina';
import { Unavailable } from '../common/domain-error.js';
import { LoadingThreads } from '../common/loading-threads.js';
import { MasterKeys, type Resealed } from '../common/master-keys.js';
import { Config } from '../config/config.js';
import { Metrics, type HashPurpose } from '../metrics/metrics.js';
import { NO_PASSWORD } from '../users/user.entity.js';

/** Public and fixed: it separates our digests from plain SHA-384 dumps, so that those cannot be used as guesses ("shucking"). */
const PRE_HASH_CONTEXT = 'gatehouse/v1/password-pre-hash';
const SCHEME = 'bcrypt-hmac-sha384';
/** A plain bcrypt hash from elsewhere, sealed as it is. The next login makes it one of ours. */
const IMPORTED_SCHEME = 'bcrypt';
/** Whose password the decoy is. */
const DECOY = 'decoy';
const PLAIN_BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const MAX_BCRYPT_BYTES = 72;
export const MAX_IMPORTED_COST = 15;
/** For each thread so many may wait, 64 at least: 8 to 16 s of work at cost 12. */
const QUEUE_PER_THREAD = 32;
const RETRY_AFTER_SECONDS = 2;
/** All threads but one end when they have had nothing to do for so long. */
const THREAD_IDLE_MS = 60_000;

/** What a thread is given: to hash, or to compare. */
type HashTask = { password: string; cost: number } | { password: string; hash: string };

/** A hash and the account it is sealed for. */
export interface StoredPassword {
  id: string;
  passwordHash: string;
}

/** Outcome of a check. `isOutdated`: the hash matches and should be replaced by a new one. */
export interface PasswordCheck {
  matches: boolean;
  isOutdated: boolean;
}

/**
 * Password hashing: `bcrypt(base64(HMAC-SHA-384(context, NFC(password))))`, 64 ASCII bytes into bcrypt, so nothing is cut
 * at 72 bytes and no NUL ends it early (OWASP Password Storage Cheat Sheet, "Pre-Hashing Passwords with bcrypt").
 * Stored as `bcrypt-hmac-sha384:<sealed>`, sealed with AES-256-GCM for one account: a stolen table has nothing to guess
 * against, and a hash moved to another row opens nothing. Plain `$2a$/$2b$/$2y$` hashes from elsewhere verify too.
 *
 * Hashes run in up to `HASH_CONCURRENCY` threads of low priority behind a bounded queue.
 */
@Injectable()
export class PasswordHasher implements OnApplicationShutdown {
  private readonly logger = new Logger(PasswordHasher.name);
  private startedPool: Piscina | undefined;
  private readonly loading = new LoadingThreads();
  private madeDecoy: StoredPassword | undefined;
  /** Hashes that were asked for and have not come. */
  private inHand = 0;

  constructor(
    private readonly config: Config,
    private readonly masterKeys: MasterKeys,
    private readonly metrics: Metrics,
  ) {
    metrics.gauge('password_hashes_waiting', 'Hashes in the queue.', () => this.waiting);
    metrics.gauge('password_hashes_running', 'Hashes that are being computed.', () => this.inHand - this.waiting);
  }

  async onApplicationShutdown(): Promise<void> {
    if (!this.startedPool) return;
    await this.loading.finished(this.startedPool.threads);
    await this.startedPool.destroy();
  }

  /**
   * The stored form of a new password of account `id`.
   *
   * @throws Unavailable when the queue is full.
   */
  async hash(id: string, password: string): Promise<string> {
    const hash = await this.run<string>({ password: preHash(password), cost: this.config.bcryptCost }, 'new');
    return this.seal(hash, id);
  }

  /**
   * The stored form of a bcrypt hash from another system, of account `id`; undefined when it is none, or costs more than
   * `MAX_IMPORTED_COST`: a check of it would hold a thread for minutes.
   */
  import(id: string, hash: string): string | undefined {
    const cost = Number(PLAIN_BCRYPT.exec(hash)?.[1]);
    if (!(cost >= 4 && cost <= MAX_IMPORTED_COST)) return undefined;
    return `${IMPORTED_SCHEME}:${this.masterKeys.seal('password-pepper', hash, id)}`;
  }

  /**
   * Whether `password` is the one behind a stored hash. Without an account, compare with `decoy`: equal work.
   *
   * @throws Unavailable when the queue is full.
   */
  async verify({ id, passwordHash }: StoredPassword, password: string): Promise<PasswordCheck> {
    if (PLAIN_BCRYPT.test(passwordHash)) {
      // $2y$ is PHP's name for what is $2b$ here. Elsewhere nobody normalised: the password as it was typed.
      const hash = passwordHash.replace(/^\$2y\$/, '$2b$');
      const matches = (await this.run<boolean>({ password, hash }, 'check')) && password.isWellFormed();
      // bcrypt looked at 72 bytes. Beyond them a mistyped password matches as well, and must not become the password.
      return { matches, isOutdated: Buffer.byteLength(password) <= MAX_BCRYPT_BYTES };
    }
    const [scheme, sealed = ''] = passwordHash.split(':');
    const isOurs = scheme === SCHEME || scheme === IMPORTED_SCHEME;
    const hash = isOurs ? this.masterKeys.open('password-pepper', sealed, id) : undefined;
    if (hash === undefined) {
      // Moved, damaged, or sealed under a key that was taken out.
      if (passwordHash !== NO_PASSWORD) this.logger.warn({ event: 'password_hash_not_openable' });
      await this.verify(this.decoy, password);
      return { matches: false, isOutdated: false };
    }
    if (scheme === IMPORTED_SCHEME) return this.verify({ id, passwordHash: hash }, password);
    // Lone surrogates all encode to U+FFFD; no account has such a password, and none may be opened by one.
    const purpose = id === DECOY ? 'decoy' : 'check';
    const matches =
      (await this.run<boolean>({ password: preHash(password), hash }, purpose)) && password.isWellFormed();
    const cost = Number(PLAIN_BCRYPT.exec(hash)?.[1]);
    return { matches, isOutdated: cost !== this.config.bcryptCost || !this.masterKeys.isNewest(sealed) };
  }

  /** The stored form under the newest master key; nothing is hashed. */
  reseal({ id, passwordHash }: StoredPassword): Resealed {
    const [scheme = '', sealed] = passwordHash.split(':');
    if (sealed === undefined) return 'newest'; // no password, or one that was never sealed
    const resealed = this.masterKeys.reseal('password-pepper', sealed, id);
    return typeof resealed === 'string' ? resealed : { sealed: `${scheme}:${resealed.sealed}` };
  }

  /**
   * A hash of the present cost whose password nobody knows, nor could: salt and digest are random octets. To compare with it
   * is the whole work; to compute one would be as much, at every start, for nothing.
   */
  get decoy(): StoredPassword {
    this.madeDecoy ??= { id: DECOY, passwordHash: this.seal(randomHash(this.config.bcryptCost), DECOY) };
    return this.madeDecoy;
  }

  /** Starts the first thread, and waits until it works. */
  async start(): Promise<void> {
    await this.giveToThread({ password: '', cost: 4 });
  }

  private seal(hash: string, id: string): string {
    return `${SCHEME}:${this.masterKeys.seal('password-pepper', hash, id)}`;
  }

  /** Made when it is needed first: a process that ends because it cannot start had better have no threads. */
  private get pool(): Piscina {
    const { hashConcurrency } = this.config;
    this.startedPool ??= new Piscina({
      filename: new URL('./password-hash.worker.js', import.meta.url).href,
      minThreads: 1, // each is some 7 MB and 60 ms of a start
      maxThreads: hashConcurrency,
      idleTimeout: THREAD_IDLE_MS,
      maxQueue: Math.max(64, QUEUE_PER_THREAD * hashConcurrency),
      concurrentTasksPerWorker: 1,
    });
    return this.startedPool;
  }

  private get waiting(): number {
    return this.startedPool?.queueSize ?? 0;
  }

  private giveToThread(task: HashTask): Promise<unknown> {
    const before = new Set(this.startedPool?.threads);
    const result = this.pool.run(task);
    this.loading.note(this.pool.threads.filter((thread) => !before.has(thread)));
    return result;
  }

  private async run<T>(task: HashTask, purpose: HashPurpose): Promise<T> {
    this.inHand += 1;
    try {
      const result = (await this.giveToThread(task)) as T;
      this.metrics.passwordHashes.inc({ purpose });
      return result;
    } catch (error) {
      if (/queue is at limit/.test((error as Error).message)) {
        this.metrics.passwordHashRefusals.inc();
        throw new Unavailable('hash_queue_full', RETRY_AFTER_SECONDS);
      }
      throw error;
    } finally {
      this.inHand -= 1;
    }
  }
}

/** bcrypt's own base64 has `.` where the usual one has `+`, and as many characters for as many octets. */
function randomHash(cost: number): string {
  const [salt, digest] = [16, 23].map((octets) => randomBytes(octets).toString('base64').replace(/=/g, ''));
  return `$2b$${String(cost).padStart(2, '0')}$${salt}${digest}`.replace(/\+/g, '.');
}

/** 64 characters of base64. */
function preHash(password: string): string {
  return createHmac('sha384', PRE_HASH_CONTEXT).update(password.normalize('NFC'), 'utf8').digest('base64');
}
