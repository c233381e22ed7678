import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from '../src/database/ddl.js';

export class CreateUsers1795305600001 implements MigrationInterface {
  name = 'CreateUsers1795305600001';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS users (
      id CHAR(36) NOT NULL,
      email VARCHAR(254) NOT NULL,
      email_canonical VARCHAR(254) NOT NULL,
      email_verified BOOLEAN NOT NULL DEFAULT FALSE,
      password_hash VARCHAR(255) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      last_login_at DATETIME(3) NULL,
      CONSTRAINT pk_users PRIMARY KEY (id),
      CONSTRAINT uq_users_email_canonical UNIQUE (email_canonical)
    )${tableOptions}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE users');
  }
}
