import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dialectOf } from '../src/database/ddl.js';

export class CreateSessions1795305600002 implements MigrationInterface {
  name = 'CreateSessions1795305600002';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS sessions (
      id CHAR(36) NOT NULL,
      user_id CHAR(36) NOT NULL,
      seed CHAR(43) NOT NULL,
      generation BIGINT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      last_used_at DATETIME(3) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      absolute_expires_at DATETIME(3) NOT NULL,
      access_expires_at DATETIME(3) NOT NULL,
      ended_at DATETIME(3) NULL,
      end_reason VARCHAR(32) NULL,
      ip VARCHAR(45) NOT NULL,
      user_agent VARCHAR(512) NULL,
      CONSTRAINT pk_sessions PRIMARY KEY (id),
      CONSTRAINT fk_sessions_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
    )${tableOptions}`);
    await createIndex(runner, 'ix_sessions_user_created', 'sessions (user_id, created_at)');
    await createIndex(runner, 'ix_sessions_absolute_expires', 'sessions (absolute_expires_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE sessions');
  }
}
