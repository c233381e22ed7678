// SQL that makes sets of rows from a number `i`. Every key grows with it: in another order a table that is larger than the
// database's memory would be read and written over and over.
import { inDatabase } from './databases.mjs';

/** Rows of one statement: small enough to leave room in MySQL's redo log, which is 100 MB if nobody has set it. */
const BATCH = 20_000;
/** In the order of their codes. */
const BASE64URL = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
/** MySQL has a quarter less to do. The first needs a privilege: without it, it takes longer. */
const SHORT_CUTS = ['sql_log_bin = 0', 'foreign_key_checks = 0', 'unique_checks = 0'];

export class SetsOfRows {
  #session;
  #isMysql;

  constructor(session, isMysql) {
    this.#session = session;
    this.#isMysql = isMysql;
  }

  /** `work` over one connection, which ends with it. */
  static within({ env, isMysql }, work) {
    return inDatabase(env, async (dataSource) => {
      const session = dataSource.createQueryRunner();
      if (isMysql) await takeShortCuts(session);
      const numbers = Array.from({ length: BATCH }, (_, n) => `(${n})`).join();
      await session.query('CREATE TEMPORARY TABLE numbers (n INTEGER PRIMARY KEY)');
      await session.query(`INSERT INTO numbers VALUES ${numbers}`);
      await work(new SetsOfRows(session, isMysql));
    });
  }

  /**
   * As after a while of use: MySQL knows how many rows there are, and has written them to its files. That takes a privilege:
   * without it, some of that is left for the measurement.
   */
  async settle(tables) {
    if (!this.#isMysql) return;
    await this.query(`ANALYZE TABLE ${tables.join()}`);
    await this.query(`FLUSH TABLES ${tables.join()} FOR EXPORT`).catch(() => undefined);
    await this.query('UNLOCK TABLES');
  }

  query(sql, parameters) {
    return this.#session.query(sql, parameters);
  }

  /** `insert` with a table that has the numbers `i` from 0 to `count`, in order, so many at a time. */
  async inBatches(count, insert) {
    for (let from = 0; from < count; from += BATCH) {
      await insert(`(SELECT n, ${from} + n AS i FROM numbers) batch WHERE i < ${count} ORDER BY n`);
    }
  }

  hex(number, digits) {
    return this.#isMysql ? `LOWER(LPAD(HEX(${number}), ${digits}, '0'))` : `printf('%0${digits}x', ${number})`;
  }

  integer(number) {
    return this.#isMysql ? `CAST(FLOOR(${number}) AS SIGNED)` : `CAST(${number} AS INTEGER)`;
  }

  /** A UUIDv7 of a millisecond, as ours are: their order decides where an index grows. */
  uuid(ms) {
    const time = this.hex(ms, 12);
    return `CONCAT(SUBSTR(${time}, 1, 8), '-', SUBSTR(${time}, 9, 4), '-7000-8000-', ${this.hex('i', 12)})`;
  }

  /** 43 digits of base64url, from the least to the greatest: real digests then come between them, far from each other. */
  digest(count) {
    const digit = (parts) => `SUBSTR('${BASE64URL}', 1 + ${this.integer(`i * ${parts}.0 / ${count}`)} % 64, 1)`;
    return `CONCAT(${[64, 64 ** 2, 64 ** 3].map(digit).join(', ')}, ${this.hex('i', 40)})`;
  }
}

async function takeShortCuts(session) {
  for (const setting of SHORT_CUTS) await session.query(`SET SESSION ${setting}`).catch(() => undefined);
}
