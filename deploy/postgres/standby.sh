#!/usr/bin/env bash
# A standby: copies the primary at the first start and follows it from then on. $1 is its name, as the primary knows it.
set -euo pipefail
umask 077
PGPASSFILE=$(mktemp)
export PGPASSFILE
printf '*:*:*:steward_replication:%s\n' "$(cat /run/secrets/postgres-replication-password)" >"$PGPASSFILE"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # What a copy that broke off has left behind would be refused.
  mkdir -p "$PGDATA"
  find "$PGDATA" -mindepth 1 -delete
  pg_basebackup --pgdata="$PGDATA" --host="${PRIMARY_HOST:-postgres}" --port="${PRIMARY_PORT:-5432}" \
    --username=steward_replication --no-password --wal-method=stream --checkpoint=fast --write-recovery-conf
fi
exec postgres -c cluster_name="$1"
