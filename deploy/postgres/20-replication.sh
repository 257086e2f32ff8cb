#!/usr/bin/env bash
# Lets two standbys follow this server. A commit waits for one of them from the next start on: here none can follow yet.
set -euo pipefail
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set replication_password `cat /run/secrets/postgres-replication-password`
create role steward_replication login replication password :'replication_password';
alter system set wal_keep_size = '1GB';
alter system set synchronous_standby_names = 'ANY 1 ("postgres-2", "postgres-3")';
SQL
echo 'host replication steward_replication samenet scram-sha-256' >>"$PGDATA/pg_hba.conf"
