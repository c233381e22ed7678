import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dialectOf } from '../src/database/ddl.js';

export class CreateAuditEvents1795305600007 implements MigrationInterface {
  name = 'CreateAuditEvents1795305600007';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS audit_events (
      id CHAR(36) NOT NULL,
      at DATETIME(3) NOT NULL,
      type VARCHAR(48) NOT NULL,
      outcome VARCHAR(16) NOT NULL,
      actor_id VARCHAR(64) NULL,
      actor_type VARCHAR(16) NOT NULL,
      subject_id CHAR(36) NULL,
      session_id CHAR(36) NULL,
      ip VARCHAR(45) NULL,
      user_agent VARCHAR(512) NULL,
      request_id CHAR(36) NULL,
      reason VARCHAR(64) NULL,
      details TEXT NULL,
      CONSTRAINT pk_audit_events PRIMARY KEY (id)
    )${tableOptions}`);
    await createIndex(runner, 'ix_audit_events_subject', 'audit_events (subject_id, id)');
    await createIndex(runner, 'ix_audit_events_at', 'audit_events (at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_events');
  }
}
