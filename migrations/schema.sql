-- Gatehouse: the complete schema for MySQL 8.4 or newer. Generated from the migrations by `npm run docs`.
-- Load it into an empty database: mysql gatehouse < migrations/schema.sql

CREATE TABLE migrations (
  id int NOT NULL AUTO_INCREMENT,
  timestamp bigint NOT NULL,
  name varchar(255) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS users (
  id CHAR(36) NOT NULL,
  email VARCHAR(254) NOT NULL,
  email_canonical VARCHAR(254) NOT NULL,
  email_verified BOOLEAN NOT NULL DEFAULT FALSE,
  password_hash VARCHAR(255) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  last_login_at DATETIME(3) NULL,
  CONSTRAINT pk_users PRIMARY KEY (id),
  CONSTRAINT uq_users_email_canonical UNIQUE (email_canonical)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS sessions (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_sessions_user_created ON sessions (user_id, created_at);

CREATE INDEX ix_sessions_absolute_expires ON sessions (absolute_expires_at);

CREATE TABLE IF NOT EXISTS revocations (
  seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind VARCHAR(8) NOT NULL,
  value VARCHAR(64) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  CONSTRAINT uq_revocations_kind_value UNIQUE (kind, value)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_revocations_expires ON revocations (expires_at);

CREATE TABLE IF NOT EXISTS signing_keys (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

ALTER TABLE users ADD COLUMN credentials_version INT NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN pending_since DATETIME(3) NULL;

ALTER TABLE users ADD COLUMN disabled_at DATETIME(3) NULL;

ALTER TABLE users ADD COLUMN deleted_at DATETIME(3) NULL;

ALTER TABLE users ADD COLUMN erase_at DATETIME(3) NULL;

CREATE INDEX ix_users_pending_since ON users (pending_since);

CREATE INDEX ix_users_erase_at ON users (erase_at);

CREATE TABLE IF NOT EXISTS former_passwords (
  id CHAR(36) NOT NULL,
  user_id CHAR(36) NOT NULL,
  password_hash VARCHAR(255) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_former_passwords PRIMARY KEY (id),
  CONSTRAINT fk_former_passwords_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_former_passwords_user_created ON former_passwords (user_id, created_at);

CREATE TABLE IF NOT EXISTS one_time_tokens (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_one_time_tokens_expires ON one_time_tokens (expires_at);

CREATE TABLE IF NOT EXISTS login_failures (
  account CHAR(43) NOT NULL,
  failures INT NOT NULL,
  reserved INT NOT NULL,
  reserved_until DATETIME(3) NULL,
  consecutive INT NOT NULL,
  locked_until DATETIME(3) NULL,
  updated_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_login_failures PRIMARY KEY (account)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_login_failures_updated ON login_failures (updated_at);

CREATE TABLE IF NOT EXISTS outbox (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_outbox_next_attempt ON outbox (next_attempt_at);

CREATE INDEX ix_outbox_sent ON outbox (sent_at);

CREATE INDEX ix_outbox_dead ON outbox (dead_at);

CREATE INDEX ix_outbox_user ON outbox (user_id);

CREATE TABLE IF NOT EXISTS mail_requests (
  id CHAR(36) NOT NULL,
  kind VARCHAR(16) NOT NULL,
  email_canonical VARCHAR(254) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_mail_requests PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS audit_events (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_audit_events_subject ON audit_events (subject_id, id);

CREATE INDEX ix_audit_events_at ON audit_events (at);

CREATE TABLE IF NOT EXISTS rate_limits (
  `key` VARCHAR(190) NOT NULL,
  points INT NOT NULL,
  expire BIGINT NULL,
  CONSTRAINT pk_rate_limits PRIMARY KEY (`key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_rate_limits_expire ON rate_limits (expire);

CREATE TABLE IF NOT EXISTS devices (
  id CHAR(36) NOT NULL,
  user_id CHAR(36) NOT NULL,
  generation INT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  last_used_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_devices PRIMARY KEY (id),
  CONSTRAINT fk_devices_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_devices_user ON devices (user_id, last_used_at);

CREATE INDEX ix_devices_last_used ON devices (last_used_at);

CREATE INDEX ix_sessions_ended_expires ON sessions (ended_at, expires_at);

ALTER TABLE users ADD COLUMN breach_told_at DATETIME(3) NULL;

ALTER TABLE mail_requests ADD COLUMN ip VARCHAR(45) NULL;

ALTER TABLE mail_requests ADD COLUMN user_agent VARCHAR(512) NULL;

ALTER TABLE mail_requests ADD COLUMN request_id CHAR(36) NULL;

CREATE TABLE IF NOT EXISTS leases (
  name VARCHAR(32) NOT NULL,
  holder CHAR(36) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_leases PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

ALTER TABLE audit_events ADD COLUMN mac VARCHAR(64) NOT NULL DEFAULT '';

CREATE TABLE IF NOT EXISTS audit_unsealed (
  event_id CHAR(36) NOT NULL,
  CONSTRAINT pk_audit_unsealed PRIMARY KEY (event_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS audit_seals (
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_audit_seals_sealed_at ON audit_seals (sealed_at);

CREATE INDEX ix_audit_seals_kind ON audit_seals (kind);

ALTER TABLE revocations ADD COLUMN position BIGINT NULL;

ALTER TABLE revocations ADD COLUMN not_before DATETIME(3) NULL;

CREATE INDEX ix_revocations_position ON revocations (position);

CREATE TABLE IF NOT EXISTS revocation_feed (
  id INT NOT NULL,
  epoch CHAR(8) NOT NULL,
  position BIGINT NOT NULL,
  CONSTRAINT pk_revocation_feed PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS clients (
  id CHAR(36) NOT NULL,
  name VARCHAR(64) NOT NULL,
  audiences VARCHAR(2048) NOT NULL,
  jwks VARCHAR(8192) NULL,
  created_at DATETIME(3) NOT NULL,
  disabled_at DATETIME(3) NULL,
  CONSTRAINT pk_clients PRIMARY KEY (id),
  CONSTRAINT uq_clients_name UNIQUE (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS client_secrets (
  id CHAR(36) NOT NULL,
  client_id CHAR(36) NOT NULL,
  digest CHAR(43) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_client_secrets PRIMARY KEY (id),
  CONSTRAINT fk_client_secrets_client FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_client_secrets_client ON client_secrets (client_id);

CREATE TABLE IF NOT EXISTS client_assertions (
  digest CHAR(43) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  CONSTRAINT pk_client_assertions PRIMARY KEY (digest)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin;

CREATE INDEX ix_client_assertions_expires ON client_assertions (expires_at);

INSERT INTO migrations (timestamp, name) VALUES (1795305600001, 'CreateUsers1795305600001');

INSERT INTO migrations (timestamp, name) VALUES (1795305600002, 'CreateSessions1795305600002');

INSERT INTO migrations (timestamp, name) VALUES (1795305600003, 'CreateRevocations1795305600003');

INSERT INTO migrations (timestamp, name) VALUES (1795305600004, 'CreateSigningKeys1795305600004');

INSERT INTO migrations (timestamp, name) VALUES (1795305600005, 'AccountLife1795305600005');

INSERT INTO migrations (timestamp, name) VALUES (1795305600006, 'CreateOutbox1795305600006');

INSERT INTO migrations (timestamp, name) VALUES (1795305600007, 'CreateAuditEvents1795305600007');

INSERT INTO migrations (timestamp, name) VALUES (1795305600008, 'UnderAttack1795305600008');

INSERT INTO migrations (timestamp, name) VALUES (1795392000009, 'InternalServices1795392000009');
