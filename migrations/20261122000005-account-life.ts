import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumn, createIndex, dialectOf, dropIndex } from '../src/database/ddl.js';

export class AccountLife1795305600005 implements MigrationInterface {
  name = 'AccountLife1795305600005';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await addColumn(runner, 'users', 'credentials_version INT NOT NULL DEFAULT 0');
    await addColumn(runner, 'users', 'pending_since DATETIME(3) NULL');
    await addColumn(runner, 'users', 'disabled_at DATETIME(3) NULL');
    await addColumn(runner, 'users', 'deleted_at DATETIME(3) NULL');
    await addColumn(runner, 'users', 'erase_at DATETIME(3) NULL');
    await createIndex(runner, 'ix_users_pending_since', 'users (pending_since)');
    await createIndex(runner, 'ix_users_erase_at', 'users (erase_at)');
    await runner.query(`CREATE TABLE IF NOT EXISTS former_passwords (
      id CHAR(36) NOT NULL,
      user_id CHAR(36) NOT NULL,
      password_hash VARCHAR(255) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_former_passwords PRIMARY KEY (id),
      CONSTRAINT fk_former_passwords_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
    )${tableOptions}`);
    await createIndex(runner, 'ix_former_passwords_user_created', 'former_passwords (user_id, created_at)');
    await runner.query(`CREATE TABLE IF NOT EXISTS one_time_tokens (
      user_id CHAR(36) NOT NULL,
      purpose VARCHAR(16) NOT NULL,
      token_hash BINARY(32) NOT NULL,
      credentials_version INT NOT NULL,
      new_email VARCHAR(254) NULL,
      created_at DATETIME(3) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      used_at DATETIME(3) NULL,
      CONSTRAINT pk_one_time_tokens PRIMARY KEY (user_id, purpose),
      CONSTRAINT uq_one_time_tokens_token_hash UNIQUE (token_hash),
      CONSTRAINT fk_one_time_tokens_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
    )${tableOptions}`);
    await createIndex(runner, 'ix_one_time_tokens_expires', 'one_time_tokens (expires_at)');
    await runner.query(`CREATE TABLE IF NOT EXISTS login_failures (
      account CHAR(43) NOT NULL,
      failures INT NOT NULL,
      reserved INT NOT NULL,
      reserved_until DATETIME(3) NULL,
      consecutive INT NOT NULL,
      locked_until DATETIME(3) NULL,
      updated_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_login_failures PRIMARY KEY (account)
    )${tableOptions}`);
    await createIndex(runner, 'ix_login_failures_updated', 'login_failures (updated_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['login_failures', 'one_time_tokens', 'former_passwords'])
      await runner.query(`DROP TABLE ${table}`);
    // SQLite does not drop a column that an index is on.
    for (const column of ['pending_since', 'erase_at']) await dropIndex(runner, `ix_users_${column}`, 'users');
    for (const column of ['credentials_version', 'pending_since', 'disabled_at', 'deleted_at', 'erase_at']) {
      await runner.query(`ALTER TABLE users DROP COLUMN ${column}`);
    }
  }
}
