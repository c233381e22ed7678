import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumn, createIndex, dialectOf, dropIndex } from '../src/database/ddl.js';

export class InternalServices1795392000009 implements MigrationInterface {
  name = 'InternalServices1795392000009';

  /**
   * `retires_at` and `expires_at` of `signing_keys` stay, and nobody writes them any more: both follow from when the next key
   * begins to sign. Instances of before, which may still be running, read them.
   */
  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    // Null until the row is in the feed: `seq` is given before commit, a position after it.
    await addColumn(runner, 'revocations', 'position BIGINT NULL');
    await addColumn(runner, 'revocations', 'not_before DATETIME(3) NULL');
    await createIndex(runner, 'ix_revocations_position', 'revocations (position)');

    await runner.query(`CREATE TABLE IF NOT EXISTS revocation_feed (
      id INT NOT NULL,
      epoch CHAR(8) NOT NULL,
      position BIGINT NOT NULL,
      CONSTRAINT pk_revocation_feed PRIMARY KEY (id)
    )${tableOptions}`);

    await runner.query(`CREATE TABLE IF NOT EXISTS clients (
      id CHAR(36) NOT NULL,
      name VARCHAR(64) NOT NULL,
      audiences VARCHAR(2048) NOT NULL,
      jwks VARCHAR(8192) NULL,
      created_at DATETIME(3) NOT NULL,
      disabled_at DATETIME(3) NULL,
      CONSTRAINT pk_clients PRIMARY KEY (id),
      CONSTRAINT uq_clients_name UNIQUE (name)
    )${tableOptions}`);
    await runner.query(`CREATE TABLE IF NOT EXISTS client_secrets (
      id CHAR(36) NOT NULL,
      client_id CHAR(36) NOT NULL,
      digest CHAR(43) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_client_secrets PRIMARY KEY (id),
      CONSTRAINT fk_client_secrets_client FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE
    )${tableOptions}`);
    await createIndex(runner, 'ix_client_secrets_client', 'client_secrets (client_id)');
    await runner.query(`CREATE TABLE IF NOT EXISTS client_assertions (
      digest CHAR(43) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_client_assertions PRIMARY KEY (digest)
    )${tableOptions}`);
    await createIndex(runner, 'ix_client_assertions_expires', 'client_assertions (expires_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['client_assertions', 'client_secrets', 'clients', 'revocation_feed']) {
      await runner.query(`DROP TABLE ${table}`);
    }
    await dropIndex(runner, 'ix_revocations_position', 'revocations');
    for (const column of ['position', 'not_before']) {
      await runner.query(`ALTER TABLE revocations DROP COLUMN ${column}`);
    }
  }
}
