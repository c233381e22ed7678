// Fills a database by SQL that makes sets of rows, as `growth` needs them: a million in a minute.
import { randomBytes } from 'node:crypto';
import { inDatabase } from './databases.mjs';

/** Rows of one statement. */
const BATCH = 100_000;
const HOUR_MS = 3_600_000;

/** What the two databases write in different ways. */
const DIALECTS = {
  MySQL: {
    random: (digits) => `SUBSTR(LOWER(HEX(RANDOM_BYTES(${Math.ceil(digits / 2)}))), 1, ${digits})`,
    hex: (number, digits) => `LOWER(LPAD(HEX(${number}), ${digits}, '0'))`,
    integer: (expression) => `CAST(FLOOR(${expression}) AS SIGNED)`,
  },
  SQLite: {
    random: (digits) => `substr(lower(hex(randomblob(${Math.ceil(digits / 2)}))), 1, ${digits})`,
    hex: (number, digits) => `printf('%0${digits}x', ${number})`,
    integer: (expression) => `CAST(${expression} AS INTEGER)`,
  },
};

/**
 * So many sessions that were revoked in the last quarter of an hour, live for hours to come, and in the feed: on MySQL with
 * their positions, as if an instance had placed them long ago.
 */
export function fillRevocations(database, count) {
  const sql = DIALECTS[database.isMysql ? 'MySQL' : 'SQLite'];
  return inDatabase(database.env, async (dataSource) => {
    const now = Date.now();
    const position = database.isMysql ? 'i + 1' : 'NULL';
    await inBatches(count, (numbers) =>
      dataSource.query(
        `INSERT INTO revocations (kind, value, expires_at, created_at, position)
         SELECT 'sid', ${uuid(sql, spread(sql, now, count))}, ?, ?, ${position} FROM ${numbers} ORDER BY i`,
        [instant(now + 6 * HOUR_MS), instant(now)],
      ),
    );
    if (!database.isMysql) return;
    await dataSource.query(
      `INSERT INTO revocation_feed (id, epoch, position) VALUES (1, ?, ?) ON DUPLICATE KEY UPDATE position = ?`,
      [randomBytes(6).toString('base64url'), count, count],
    );
  });
}

/** So many people who cannot log in, each with a session and a counter of failures, as everybody has who ever did. */
export function fillUsers(database, count) {
  const sql = DIALECTS[database.isMysql ? 'MySQL' : 'SQLite'];
  return inDatabase(database.env, async (dataSource) => {
    const now = Date.now();
    const at = instant(now);
    const end = instant(now + 6 * HOUR_MS);
    await inBatches(count, (numbers) =>
      dataSource.query(
        `INSERT INTO users (id, email, email_canonical, email_verified, password_hash, created_at, last_login_at)
         SELECT ${uuid(sql, spread(sql, now, count))}, CONCAT('filled.', i, '@example.org'),
           CONCAT('filled.', i, '@example.org'), 1, '!', ?, ? FROM ${numbers} ORDER BY i`,
        [at, at],
      ),
    );
    await dataSource.query(
      `INSERT INTO sessions (id, user_id, seed, generation, created_at, last_used_at, expires_at, absolute_expires_at,
         access_expires_at, ip)
       SELECT ${uuid(sql, String(now))}, id, CONCAT(${sql.random(42)}, 'A'), 0, ?, ?, ?, ?, ?, '192.0.2.1'
       FROM users WHERE email_canonical LIKE 'filled.%'`,
      [at, at, end, end, end],
    );
    await inBatches(count, (numbers) =>
      dataSource.query(
        `INSERT INTO login_failures (account, failures, reserved, consecutive, updated_at)
         SELECT CONCAT(${sql.random(42)}, 'A'), 0, 0, 0, ? FROM ${numbers}`,
        [at],
      ),
    );
  });
}

/** `fill` with a table expression that has the numbers `i` from 0 to `count`, so many at a time. */
async function inBatches(count, fill) {
  const digits = `(SELECT 0 AS d ${Array.from({ length: 9 }, (_, i) => `UNION ALL SELECT ${i + 1}`).join(' ')})`;
  const places = Math.max(1, Math.ceil(Math.log10(Math.min(count, BATCH))));
  const names = Array.from({ length: places }, (_, place) => `p${place}`);
  const number = names.map((name, place) => `${name}.d * ${10 ** place}`).join(' + ');
  for (let from = 0; from < count; from += BATCH) {
    const all = `SELECT ${from} + ${number} AS i FROM ${names.map((name) => `${digits} ${name}`).join(', ')}`;
    await fill(`(SELECT i FROM (${all}) every_number WHERE i < ${Math.min(count, from + BATCH)}) numbers`);
  }
}

/** The millisecond of row `i`, when `count` of them happened one after the other in the quarter of an hour before `now`. */
function spread({ integer }, now, count) {
  return `${now - HOUR_MS / 4} + ${integer(`i * ${HOUR_MS / 4}.0 / ${count}`)}`;
}

/** A UUIDv7 of a millisecond: ours are, and their order decides where an index grows. */
function uuid({ hex, random }, ms) {
  const time = hex(ms, 12);
  const parts = [`SUBSTR(${time}, 1, 8)`, `SUBSTR(${time}, 9, 4)`, `CONCAT('7', ${random(3)})`];
  return `CONCAT(${[...parts, `CONCAT('8', ${random(3)})`, random(12)].join(`, '-', `)})`;
}

/** As TypeORM writes it: in UTC, to the millisecond. */
function instant(ms) {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '');
}
