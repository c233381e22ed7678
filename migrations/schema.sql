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

INSERT INTO migrations (timestamp, name) VALUES (1795305600001, 'CreateUsers1795305600001');

INSERT INTO migrations (timestamp, name) VALUES (1795305600002, 'CreateSessions1795305600002');

INSERT INTO migrations (timestamp, name) VALUES (1795305600003, 'CreateRevocations1795305600003');

INSERT INTO migrations (timestamp, name) VALUES (1795305600004, 'CreateSigningKeys1795305600004');
