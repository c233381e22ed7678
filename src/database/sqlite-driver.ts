/** What we use of a better-sqlite3 database. */
interface SqliteDatabase {
  prepare(sql: string): SqliteStatement;
  pragma(text: string): unknown;
}

interface SqliteStatement {
  reader: boolean;
  all(): unknown[];
  run(): unknown;
}

/**
 * better-sqlite3 12 on Node 24 aborts the process when one of its databases or statements is garbage-collected outside of
 * JavaScript: its destructor asks for an environment that is not entered then ("Assertion failed: (env) != nullptr"). So
 * none ever is. On the global object, because a test runner drops whole modules.
 */
const neverCollected = ((globalThis as Record<symbol, unknown>)[Symbol.for('gatehouse.sqlite')] ??= []) as unknown[];

/**
 * Sets a database up before anybody uses it: one statement per SQL text, prepared once and kept (our texts are few: they
 * differ in the length of a list at most), and commits that survive a power cut and not only a killed process.
 */
export function prepareSqlite(db: SqliteDatabase): void {
  neverCollected.push(db);
  const statements = new Map<string, SqliteStatement>();
  const prepare = db.prepare.bind(db);
  db.prepare = (sql) => {
    const statement = statements.get(sql) ?? prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  // better-sqlite3's own pragma() makes a statement past prepare(), for the collector.
  db.pragma = (text) => {
    const statement = db.prepare(`PRAGMA ${text}`);
    return statement.reader ? statement.all() : statement.run();
  };
  db.pragma('synchronous = FULL');
}
