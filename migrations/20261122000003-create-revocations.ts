import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dialectOf } from '../src/database/ddl.js';

export class CreateRevocations1795305600003 implements MigrationInterface {
  name = 'CreateRevocations1795305600003';

  async up(runner: QueryRunner): Promise<void> {
    const { autoIncrementKey, tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS revocations (
      seq ${autoIncrementKey},
      kind VARCHAR(8) NOT NULL,
      value VARCHAR(64) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      CONSTRAINT uq_revocations_kind_value UNIQUE (kind, value)
    )${tableOptions}`);
    await createIndex(runner, 'ix_revocations_expires', 'revocations (expires_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE revocations');
  }
}
