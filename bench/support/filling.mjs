// What `growth` fills a database with: a million rows of each kind in a minute or two.
import { randomBytes } from 'node:crypto';
import { SetsOfRows } from './sets-of-rows.mjs';

const HOUR_MS = 3_600_000;

/**
 * So many sessions that were revoked in the last quarter of an hour, live for hours to come, and in the feed: on MySQL with
 * their positions, as if an instance had placed them long ago.
 */
export function fillRevocations(database, count) {
  return SetsOfRows.within(database, async (rows) => {
    const now = Date.now();
    await rows.inBatches(count, (numbers) =>
      rows.query(
        `INSERT INTO revocations (kind, value, expires_at, created_at, position)
         SELECT 'sid', ${rows.uuid(spread(rows, now, count))}, ?, ?, ${database.isMysql ? 'i + 1' : 'NULL'} FROM ${numbers}`,
        [instant(now + 6 * HOUR_MS), instant(now)],
      ),
    );
    if (database.isMysql) await setPosition(rows, count);
    await rows.settle(['revocations']);
  });
}

/** So many people who cannot log in, each with a session and a counter of failures, as everybody has who ever did. */
export function fillUsers(database, count) {
  return SetsOfRows.within(database, async (rows) => {
    const now = Date.now();
    const at = instant(now);
    const end = instant(now + 6 * HOUR_MS);
    const id = rows.uuid(spread(rows, now, count));
    const email = `CONCAT('filled.', ${rows.hex('i', 8)}, '@example.org')`;
    await rows.inBatches(count, async (numbers) => {
      await rows.query(
        `INSERT INTO users (id, email, email_canonical, email_verified, password_hash, created_at, last_login_at)
         SELECT ${id}, ${email}, ${email}, 1, '!', ?, ? FROM ${numbers}`,
        [at, at],
      );
      await rows.query(
        `INSERT INTO sessions (id, user_id, seed, generation, created_at, last_used_at, expires_at, absolute_expires_at,
           access_expires_at, ip)
         SELECT ${id}, ${id}, ${rows.hex('i', 43)}, 0, ?, ?, ?, ?, ?, '192.0.2.1' FROM ${numbers}`,
        [at, at, end, end, end],
      );
      await rows.query(
        `INSERT INTO login_failures (account, failures, reserved, consecutive, updated_at)
         SELECT ${rows.digest(count)}, 0, 0, 0, ? FROM ${numbers}`,
        [at],
      );
    });
    await rows.settle(['users', 'sessions', 'login_failures']);
  });
}

function setPosition(rows, position) {
  return rows.query(
    `INSERT INTO revocation_feed (id, epoch, position) VALUES (1, ?, ?) ON DUPLICATE KEY UPDATE position = ?`,
    [randomBytes(6).toString('base64url'), position, position],
  );
}

/** The millisecond of row `i`, when `count` of them happened one after the other in the quarter of an hour before `now`. */
function spread(rows, now, count) {
  return `${now - HOUR_MS / 4} + ${rows.integer(`i * ${HOUR_MS / 4}.0 / ${count}`)}`;
}

/** As TypeORM writes it: in UTC, to the millisecond. */
function instant(ms) {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '');
}
