import mysql, { type Pool, type PoolConnection, type PoolOptions, type QueryError } from 'mysql2';

/** Longest wait for a free connection of the pool. */
const ACQUIRE_TIMEOUT_MS = 5_000;

/** What nobody has used for so long is closed, well before the server would. */
const IDLE_MS = 5_000;

/** Strict, so that nothing is cut to fit (ASVS 2.2.1); in UTC; each statement sees what is committed when it starts. */
const SESSION_SETTINGS = [
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
  "SET SESSION time_zone = '+00:00'",
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  // A request that waits for a row longer than this is better told to come again: it holds a connection meanwhile.
  'SET SESSION innodb_lock_wait_timeout = 2',
  // A host that dies or freezes in a transaction says nothing any more, and its locks would stay for the server's eight hours.
  'SET SESSION wait_timeout = 10',
];

/**
 * mysql2 as TypeORM takes a driver, with our settings sent first on every new connection and an end to every wait: for a
 * connection, and behind a statement whose time was up. mysql2 gives such a statement up and keeps its connection, on which
 * the next one would wait for the server to finish.
 */
export const boundedMysql = {
  ...mysql,
  createPool(options: PoolOptions): Pool {
    // No stack is taken for each query: TypeORM's own error has one.
    const pool = mysql.createPool({ ...options, gracefulEnd: true, trace: false });
    pool.on('connection', (connection) => {
      dropWhenLate(connection);
      keepPromised(connection);
      for (const statement of SESSION_SETTINGS) {
        connection.query(statement, (error) => {
          if (error) connection.destroy(); // never work on a connection that is not strict
        });
      }
    });
    closeIdle(pool);
    limitAcquisition(pool);
    return pool;
  },
};

type Callback = (error: QueryError | null, ...rest: unknown[]) => void;

function dropWhenLate(connection: PoolConnection): void {
  const query = connection.query.bind(connection) as (...args: unknown[]) => unknown;
  connection.query = ((...args: unknown[]) => {
    const callback = args.at(-1);
    if (typeof callback !== 'function') return query(...args);
    const observed: Callback = (error, ...rest) => {
      if (error?.code === 'PROTOCOL_SEQUENCE_TIMEOUT') connection.destroy();
      (callback as Callback)(error, ...rest);
    };
    return query(...args.slice(0, -1), observed);
  }) as typeof connection.query;
}

/** TypeORM asks for this with each statement, and mysql2 then looks for a module of its own and makes another. */
function keepPromised(connection: PoolConnection): void {
  const promised = connection.promise();
  connection.promise = () => promised;
}

/** A statement on a connection that the server is closing would fail, so we are always first. */
function closeIdle(pool: Pool): void {
  const timers = new WeakMap<PoolConnection, NodeJS.Timeout>();
  pool.on('release', (connection) => {
    // With a callback: one that is closed already then says so to that, and does not throw.
    timers.set(connection, setTimeout(() => connection.end(() => {}), IDLE_MS).unref());
  });
  pool.on('acquire', (connection) => clearTimeout(timers.get(connection)));
}

function limitAcquisition(pool: Pool): void {
  const getConnection = pool.getConnection.bind(pool);
  pool.getConnection = (callback) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      const error = Object.assign(new Error('no connection of the pool came free'), { code: 'ETIMEDOUT' });
      callback(error, undefined as never);
    }, ACQUIRE_TIMEOUT_MS);
    getConnection((error, connection) => {
      clearTimeout(timer);
      if (!isLate) callback(error, connection);
      else if (!error) connection.release();
    });
  };
}
