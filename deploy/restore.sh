#!/bin/sh
# Replaces databases by those of a backup: restore.sh FOLDER for all three, restore.sh FOLDER drumbeat for the ledger alone, and
# restore.sh FOLDER temporal for Temporal's two. Stop the workers, the webhooks and Temporal first: a database that is in use is
# not replaced. Afterwards everything is paused if the ledger was among them, until 'audit --repair': docs/recovery.md.
# Runs where pg_restore is; PGHOST, PGUSER and PGPASSWORD name the server.
set -eu

folder=${1:?which backup, e.g. /backups/20351123T030000Z}
case ${2:-all} in
    all) databases="drumbeat temporal temporal_visibility" ;;
    drumbeat) databases="drumbeat" ;;
    temporal) databases="temporal temporal_visibility" ;;
    *) echo "$2: say drumbeat, or temporal, or nothing for both; nothing was changed" >&2; exit 2 ;;
esac
for database in $databases; do
    [ -f "$folder/$database.dump" ] || { echo "$folder has no $database.dump: nothing was changed" >&2; exit 1; }
done
# The new ones take the old ones' place when all are complete.
for database in $databases; do
    owner=${database%%_*}
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<SQL
drop database if exists ${database}_restored;
create database ${database}_restored owner $owner;
revoke all on database ${database}_restored from public;
SQL
    pg_restore --exit-on-error --dbname "${database}_restored" "$folder/$database.dump"
done
case $databases in *drumbeat*)
    # Rights to connect are no part of a dump (databases.sh gives them). What was sent since is not in it, either; a ledger that is older than this function is found out by the worker.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname drumbeat_restored --output /dev/null \
        --variable how="from the backup $(basename "$folder")" <<'SQL'
select format('grant connect%s on database drumbeat_restored to %I', case rolname when 'drumbeat_worker' then ', temporary' end, rolname)
  from pg_roles where rolname in ('drumbeat_worker', 'drumbeat_reader') \gexec
select to_regprocedure('note_restore(text,timestamptz)') is not null as known \gset
\if :known
select note_restore(:'how', null);
\endif
SQL
esac
for database in $databases; do
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres --command "drop database if exists ${database}_before"
done
# Nobody may be connected to any of them; otherwise none changes its name.
for database in $databases; do
    echo "alter database $database rename to ${database}_before; alter database ${database}_restored rename to $database;"
done | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --dbname postgres --file -
for database in $databases; do
    echo "$database is restored from $folder; what was before is in ${database}_before"
done
