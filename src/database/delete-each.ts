import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';
import { change } from './raw-rows.js';

/**
 * Deletes rows by their keys and locks nothing else. A statement each: for a list MySQL may read a small table from end to
 * end, and then waits for whoever has an open transaction on it, and they for us.
 *
 * @param key a property whose column is unique.
 * @returns how many there were.
 */
export async function deleteEach<T extends ObjectLiteral>(
  entity: EntityTarget<T>,
  key: keyof T & string,
  values: readonly string[],
  transaction: EntityManager,
): Promise<number> {
  const { driver } = transaction.dataSource;
  const { tableName, columns } = transaction.dataSource.getMetadata(entity);
  const column = columns.find(({ propertyName }) => propertyName === key)?.databaseName ?? key;
  const statement = `DELETE FROM ${driver.escape(tableName)} WHERE ${driver.escape(column)} = ?`;
  let deleted = 0;
  for (const value of values) {
    const { affected } = await change(transaction, statement, [value]);
    deleted += affected;
  }
  return deleted;
}
