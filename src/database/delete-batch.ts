import { In, type FindOptionsWhere, type ObjectLiteral, type Repository } from 'typeorm';

/**
 * Deletes up to `limit` rows that fit `where`. Read, then deleted by key: a DELETE with LIMIT is not SQLite's, and a range
 * DELETE locks gaps that inserts need. The condition is asked again: a row may have changed in between.
 *
 * @param key a property whose column is unique.
 * @returns how many.
 */
export async function deleteBatch<T extends ObjectLiteral>(
  rows: Repository<T>,
  key: keyof T & string,
  where: FindOptionsWhere<T>,
  limit: number,
): Promise<number> {
  const found = await rows
    .createQueryBuilder('dead')
    .select(`dead.${key}`, 'key')
    .where(where)
    .limit(limit)
    .getRawMany<{ key: unknown }>();
  if (found.length === 0) return 0;
  const { affected } = await rows.delete({ ...where, [key]: In(found.map((row) => row.key)) });
  return affected ?? found.length;
}
