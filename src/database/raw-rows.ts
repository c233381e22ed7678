// For the statements of every request that are written by hand, because building them would cost more than answering them.
import type { DataSource, EntityManager, EntityMetadata, EntityTarget, ObjectLiteral, QueryResult } from 'typeorm';

/** An instant as the driver gives it: SQLite has no dates. */
export type RawInstant = Date | string;

export function instantOf(value: RawInstant): Date {
  return value instanceof Date ? value : new Date(`${value.replace(' ', 'T')}Z`);
}

/** An instant as a parameter, the same for every database: `2026-11-29 18:09:38.317`, in UTC. */
export function instantText(at: Date): string {
  return at.toISOString().slice(0, -1).replace('T', ' ');
}

/** The inside of `IN (…)` for so many values. */
export function placeholders(count: number): string {
  return '?,'.repeat(count).slice(0, -1);
}

/** What came of a statement that changes rows. */
export interface Change {
  /** The rows that its `WHERE` let through, changed or not. */
  affected: number;
  /** MySQL alone: the last argument of `LAST_INSERT_ID(…)`. */
  insertId?: number;
}

/** Runs a statement that changes rows: in the transaction, or by itself where `manager` is none's. */
export async function change(manager: EntityManager, statement: string, parameters: unknown[]): Promise<Change> {
  const runner = manager.queryRunner ?? manager.dataSource.createQueryRunner();
  try {
    const result: QueryResult = await runner.query(statement, parameters, true);
    return { affected: result.affected ?? 0, insertId: (result.raw as { insertId?: number }).insertId };
  } finally {
    if (runner !== manager.queryRunner) await runner.release();
  }
}

/** As `transaction.insert`, for rows that have every column. */
export async function insertRows<Row extends ObjectLiteral>(
  transaction: EntityManager,
  entity: EntityTarget<Row>,
  rows: Row[],
): Promise<void> {
  const { driver, columns, insert, row } = layoutOf(transaction.dataSource, entity);
  const values = rows.flatMap((one) =>
    columns.map((column) => driver.preparePersistentValue(column.getEntityValue(one), column) as unknown),
  );
  await transaction.query(`${insert} ${rows.map(() => row).join()}`, values);
}

/**
 * As `manager.find`, with the rest of the statement written out, and with every column: those too that others have to ask
 * for by name.
 */
export async function findRows<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  rest: string,
  parameters: unknown[] = [],
): Promise<Row[]> {
  const { driver, metadata, columns, select } = layoutOf(manager.dataSource, entity);
  const rows: ObjectLiteral[] = await manager.query(`${select} ${rest}`, parameters);
  return rows.map((raw) => {
    const row = metadata.create() as Row;
    for (const column of columns) {
      column.setEntityValue(row, driver.prepareHydratedValue(raw[column.databaseName], column));
    }
    return row;
  });
}

function layoutOf<Row extends ObjectLiteral>(dataSource: DataSource, entity: EntityTarget<Row>) {
  const metadata = dataSource.getMetadata(entity);
  const known = layouts.get(metadata) ?? makeLayout(dataSource, metadata);
  layouts.set(metadata, known);
  return known;
}

/** The parts of the statements about an entity, whose columns its class names. */
function makeLayout({ driver }: DataSource, metadata: EntityMetadata) {
  const { columns } = metadata;
  const table = driver.escape(metadata.tableName);
  const names = columns.map(({ databaseName }) => driver.escape(databaseName)).join(', ');
  return {
    driver,
    metadata,
    columns,
    insert: `INSERT INTO ${table} (${names}) VALUES`,
    row: `(${placeholders(columns.length)})`,
    select: `SELECT ${names} FROM ${table}`,
  };
}

const layouts = new WeakMap<EntityMetadata, ReturnType<typeof makeLayout>>();
