#!/bin/bash
# Two accounts, so that a hole in the server cannot change the schema, and a migration never holds what opens the data.
# In a subshell: where a checkout lost the executable bit, the image reads this file into its own shell.
(
  set -euo pipefail
  api_password=$(</run/secrets/api_password) migrate_password=$(</run/secrets/migrate_password)

  # The private ranges that Docker takes networks from, all of them: the network is made anew more often than the data.
  for host in 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16; do
    cat <<END
CREATE USER 'gatehouse_api'@'$host' IDENTIFIED WITH caching_sha2_password BY '$api_password' REQUIRE SSL;
CREATE USER 'gatehouse_migrate'@'$host' IDENTIFIED WITH caching_sha2_password BY '$migrate_password' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON gatehouse.* TO 'gatehouse_migrate'@'$host';
END
  done | MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --protocol=socket --user=root
  bash /docker/grants.sh
)
