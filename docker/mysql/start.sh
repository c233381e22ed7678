#!/bin/bash
# The image takes a database that it was killed in the middle of making for a finished one, and starts it without our
# users, for ever. The mark stands from before the first file until the last script of initdb.d, so what lies beside it has
# never been in use and is made again. Data without the mark, a restored backup for one, is never touched.
set -euo pipefail

data=/var/lib/mysql mark=/var/lib/mysql/.being-made

if [ -e "$mark" ]; then
  echo 'The first start was interrupted: making the database again.'
  find "$data" -mindepth 1 ! -path "$mark" -delete
elif [ ! -d "$data/mysql" ]; then
  touch "$mark" # mysqld takes a directory with only dot files for empty
  sync "$mark"
fi
exec docker-entrypoint.sh "$@"
