import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumn, createIndex, dialectOf, dropIndex } from '../src/database/ddl.js';

export class UnderAttack1795305600008 implements MigrationInterface {
  name = 'UnderAttack1795305600008';

  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = await dialectOf(runner);
    // Names, types and order of the columns are those of rate-limiter-flexible.
    await runner.query(`CREATE TABLE IF NOT EXISTS rate_limits (
      \`key\` VARCHAR(190) NOT NULL,
      points INT NOT NULL,
      expire BIGINT NULL,
      CONSTRAINT pk_rate_limits PRIMARY KEY (\`key\`)
    )${tableOptions}`);
    await createIndex(runner, 'ix_rate_limits_expire', 'rate_limits (expire)');

    await runner.query(`CREATE TABLE IF NOT EXISTS devices (
      id CHAR(36) NOT NULL,
      user_id CHAR(36) NOT NULL,
      generation INT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      last_used_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_devices PRIMARY KEY (id),
      CONSTRAINT fk_devices_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
    )${tableOptions}`);
    await createIndex(runner, 'ix_devices_user', 'devices (user_id, last_used_at)');
    await createIndex(runner, 'ix_devices_last_used', 'devices (last_used_at)');

    await createIndex(runner, 'ix_sessions_ended_expires', 'sessions (ended_at, expires_at)');

    await addColumn(runner, 'users', 'breach_told_at DATETIME(3) NULL');
    await addColumn(runner, 'mail_requests', 'ip VARCHAR(45) NULL');
    await addColumn(runner, 'mail_requests', 'user_agent VARCHAR(512) NULL');
    await addColumn(runner, 'mail_requests', 'request_id CHAR(36) NULL');

    await runner.query(`CREATE TABLE IF NOT EXISTS leases (
      name VARCHAR(32) NOT NULL,
      holder CHAR(36) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      CONSTRAINT pk_leases PRIMARY KEY (name)
    )${tableOptions}`);

    await addColumn(runner, 'audit_events', "mac VARCHAR(64) NOT NULL DEFAULT ''");
    await runner.query(`CREATE TABLE IF NOT EXISTS audit_unsealed (
      event_id CHAR(36) NOT NULL,
      CONSTRAINT pk_audit_unsealed PRIMARY KEY (event_id)
    )${tableOptions}`);
    await runner.query(`CREATE TABLE IF NOT EXISTS audit_seals (
      number BIGINT NOT NULL,
      kind VARCHAR(8) NOT NULL,
      sealed_at DATETIME(3) NOT NULL,
      event_count INT NOT NULL,
      event_ids MEDIUMTEXT NOT NULL,
      root CHAR(43) NOT NULL,
      purged_through BIGINT NULL,
      previous CHAR(43) NOT NULL,
      hash CHAR(43) NOT NULL,
      key_id CHAR(8) NOT NULL,
      signature VARCHAR(96) NOT NULL,
      CONSTRAINT pk_audit_seals PRIMARY KEY (number)
    )${tableOptions}`);
    await createIndex(runner, 'ix_audit_seals_sealed_at', 'audit_seals (sealed_at)');
    await createIndex(runner, 'ix_audit_seals_kind', 'audit_seals (kind)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_seals');
    await runner.query('DROP TABLE audit_unsealed');
    await runner.query('ALTER TABLE audit_events DROP COLUMN mac');
    await runner.query('DROP TABLE leases');
    for (const column of ['ip', 'user_agent', 'request_id']) {
      await runner.query(`ALTER TABLE mail_requests DROP COLUMN ${column}`);
    }
    await runner.query('ALTER TABLE users DROP COLUMN breach_told_at');
    await dropIndex(runner, 'ix_sessions_ended_expires', 'sessions');
    await runner.query('DROP TABLE devices');
    await runner.query('DROP TABLE rate_limits');
  }
}
