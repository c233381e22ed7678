#!/bin/bash
# What the server may do with which table. The first start runs this, before there is any table; after an upgrade an operator
# does (docs/operations.md). It can run at any time and again: nothing that is listed is away for a moment.
set -euo pipefail

users="'gatehouse_api'@'10.0.0.0/8', 'gatehouse_api'@'172.16.0.0/12', 'gatehouse_api'@'192.168.0.0/16'"

# grant RIGHTS TABLE…: these and no others.
grant() {
  local rights=$1 others=CREATE right table
  for right in SELECT INSERT UPDATE DELETE; do
    [[ ", $rights," == *", $right,"* ]] || others+=", $right"
  done
  for table in "${@:2}"; do
    # With CREATE, for a moment: without it MySQL takes no grant on a table that a migration has yet to make.
    echo "GRANT $rights, CREATE ON gatehouse.$table TO $users;"
    echo "REVOKE IF EXISTS $others ON gatehouse.$table FROM $users;"
  done
}

{
  # Whoever takes over the server neither hides what was done nor runs a migration again.
  grant 'SELECT' migrations
  grant 'SELECT, INSERT' audit_events audit_seals
  grant 'SELECT, INSERT, DELETE' audit_unsealed
  # Who may ask for other people's tokens is made by commands, which run as the user that migrates.
  grant 'SELECT' client_secrets clients
  grant 'SELECT, INSERT, UPDATE, DELETE' \
    client_assertions devices former_passwords leases login_failures mail_requests one_time_tokens outbox rate_limits \
    revocation_feed revocations sessions signing_keys users
  # Of installations that were made before there was this list.
  echo "REVOKE IF EXISTS ALL ON gatehouse.* FROM $users;"
} | MYSQL_PWD=$(</run/secrets/root_password) mysql --protocol=socket --user=root
