import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from '../src/database/ddl.js';

export class CreateSigningKeys1795305600004 implements MigrationInterface {
  name = 'CreateSigningKeys1795305600004';

  /**
   * `number` is what decides a race: of two instances that make the next key at once, one inserts it. The instants
   * carry a key through its life: published from created_at, signing from activates_at, verifying only from
   * retires_at, gone from expires_at, refused everywhere from revoked_at.
   */
  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS signing_keys (
      kid CHAR(43) NOT NULL,
      number BIGINT NOT NULL,
      algorithm VARCHAR(16) NOT NULL,
      public_jwk VARCHAR(1024) NOT NULL,
      private_key VARCHAR(2048) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      activates_at DATETIME(3) NOT NULL,
      retires_at DATETIME(3) NULL,
      expires_at DATETIME(3) NULL,
      revoked_at DATETIME(3) NULL,
      CONSTRAINT pk_signing_keys PRIMARY KEY (kid),
      CONSTRAINT uq_signing_keys_number UNIQUE (number)
    )${tableOptions}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE signing_keys');
  }
}
