#!/bin/bash
# Makes the secrets of the compose stack, each once: what is there is kept. So the repository holds none, no two
# installations share one, and nobody has to type one. May be killed at any point and run again.
#
# Below /secrets is one volume per consumer, and a consumer sees its own only:
#   mysql/    passwords of root, gatehouse_migrate and gatehouse_api; the server's certificate; the healthcheck's login
#   migrate/  DATABASE_URL of gatehouse_migrate
#   api/      DATABASE_URL of gatehouse_api; MASTER_KEY
set -euo pipefail
umask 077

MYSQL_UID=999 APP_UID=10001
# The authority's key is thrown away once it has signed, so nothing can be renewed: both certificates live as long as the
# stack may. To replace them: `docker compose run --rm --entrypoint rm secrets -rf /secrets/mysql/tls`, then
# `docker compose up -d --force-recreate`.
CERTIFICATE_DAYS=3650

cd /secrets

# put FILE UID: stdin becomes FILE, whole or not at all. Readable by its consumer and, through group root, by the next run
# of this script, which has no capability that would let it read what it does not own.
put() {
  local draft=$1.draft
  rm -f "$draft"
  cat >"$draft"
  chmod 0440 "$draft"
  chown "$2:0" "$draft"
  sync "$draft"
  mv "$draft" "$1"
}

for name in root migrate api; do
  [ -s "mysql/${name}_password" ] && continue
  password=$(openssl rand -hex 32) # nothing that a URL, SQL or an option file would need to escape
  put "mysql/${name}_password" "$MYSQL_UID" <<<"$password"
done

# Losing this key loses every password hash and signing key in the database: it is never made again while it is there.
if [ ! -s api/master_key ]; then
  key=$(openssl rand -base64 32)
  put api/master_key "$APP_UID" <<<"$key"
fi

# A directory, so that authority, certificate and key appear together.
if [ ! -d mysql/tls ]; then
  cat >/tmp/openssl.cnf <<'END'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:mysql
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
  certificate() {
    openssl req -x509 -config /tmp/openssl.cnf -days "$CERTIFICATE_DAYS" -sha256 \
      -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@" 2>/tmp/openssl.log || { cat /tmp/openssl.log >&2; return 1; }
  }
  certificate -extensions authority -subj '/CN=Gatehouse database authority' -keyout /tmp/ca-key.pem -out /tmp/ca.pem
  certificate -extensions server -subj /CN=mysql -CA /tmp/ca.pem -CAkey /tmp/ca-key.pem -keyout /tmp/key.pem -out /tmp/cert.pem
  rm -rf mysql/tls.draft
  mkdir -m 0755 mysql/tls.draft
  put mysql/tls.draft/ca.pem "$MYSQL_UID" </tmp/ca.pem
  put mysql/tls.draft/server-cert.pem "$MYSQL_UID" </tmp/cert.pem
  put mysql/tls.draft/server-key.pem "$MYSQL_UID" </tmp/key.pem
  mv mysql/tls.draft mysql/tls
fi

# What follows from the above is written every time, so that it cannot disagree with it.
for consumer in migrate api; do
  password=$(<"mysql/${consumer}_password")
  put "$consumer/ca.pem" "$APP_UID" <mysql/tls/ca.pem
  put "$consumer/database_url" "$APP_UID" \
    <<<"mysql://gatehouse_$consumer:$password@mysql:3306/gatehouse?ssl-mode=VERIFY_IDENTITY&ssl-ca=/run/secrets/ca.pem"
done

put mysql/healthcheck.cnf "$MYSQL_UID" <<END
[client]
host=mysql
user=gatehouse_api
password=$(<mysql/api_password)
ssl-mode=VERIFY_IDENTITY
ssl-ca=/run/secrets/tls/ca.pem
connect-timeout=3
END

sync -f mysql migrate api # renames, too, before anything is built on them
