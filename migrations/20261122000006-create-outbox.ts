import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dialectOf } from '../src/database/ddl.js';

export class CreateOutbox1795305600006 implements MigrationInterface {
  name = 'CreateOutbox1795305600006';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    await runner.query(`CREATE TABLE IF NOT EXISTS outbox (
      id CHAR(36) NOT NULL,
      user_id CHAR(36) NULL,
      kind VARCHAR(40) NOT NULL,
      recipient VARCHAR(254) NOT NULL,
      content TEXT NULL,
      created_at DATETIME(3) NOT NULL,
      next_attempt_at DATETIME(3) NULL,
      attempts INT NOT NULL,
      gives_up_at DATETIME(3) NOT NULL,
      sent_at DATETIME(3) NULL,
      dead_at DATETIME(3) NULL,
      last_error VARCHAR(200) NULL,
      CONSTRAINT pk_outbox PRIMARY KEY (id)
    )${tableOptions}`);
    await createIndex(runner, 'ix_outbox_next_attempt', 'outbox (next_attempt_at)');
    await createIndex(runner, 'ix_outbox_sent', 'outbox (sent_at)');
    await createIndex(runner, 'ix_outbox_dead', 'outbox (dead_at)');
    await createIndex(runner, 'ix_outbox_user', 'outbox (user_id)');
    await runner.query(`CREATE TABLE IF NOT EXISTS mail_requests (
      id CHAR(36) NOT NULL,
      kind VARCHAR(16) NOT NULL,
      email_canonical VARCHAR(254) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_mail_requests PRIMARY KEY (id)
    )${tableOptions}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE mail_requests');
    await runner.query('DROP TABLE outbox');
  }
}
