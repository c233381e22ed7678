import type { QueryRunner } from 'typeorm';
import { migrations } from '../../src/database/migrations.js';

/** As TypeORM makes it, in our collation. */
const MIGRATIONS_TABLE = `CREATE TABLE migrations (
  id int NOT NULL AUTO_INCREMENT,
  timestamp bigint NOT NULL,
  name varchar(255) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB`;

/**
 * The complete SQL script for MySQL 8.4+: what the migrations do, recorded, and the rows that say that they were done, so
 * that the service takes a database made from it for migrated.
 */
export async function schemaScript(): Promise<string> {
  const statements: string[] = [];
  const recorder = {
    dataSource: { options: { type: 'mysql' } },
    query: (sql: string) => {
      if (sql.startsWith('SELECT')) return Promise.resolve([{ version: '8.4.0' }]);
      statements.push(sql.replace(/^ {6}/gm, '  ').replace(/^ {4}\)/m, ')'));
      return Promise.resolve(undefined);
    },
  } as unknown as QueryRunner;
  for (const Migration of migrations) await new Migration().up(recorder);
  const rows = migrations.map(
    ({ name }) => `INSERT INTO migrations (timestamp, name) VALUES (${name.slice(-13)}, '${name}')`,
  );
  return [
    '-- Gatehouse: the complete schema for MySQL 8.4 or newer. Generated from the migrations by `npm run docs`.',
    '-- Load it into an empty database: mysql gatehouse < migrations/schema.sql',
    ...[MIGRATIONS_TABLE, ...statements, ...rows].map((statement) => `\n${statement};`),
    '',
  ].join('\n');
}
