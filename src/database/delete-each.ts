import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';

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
  let deleted = 0;
  for (const value of values) {
    const { affected } = await transaction.delete(entity, { [key]: value });
    deleted += affected ?? 0;
  }
  return deleted;
}
