#!/bin/sh
# Replaces the three databases by those of a backup: restore.sh FOLDER. Stop the workers, the webhooks and Temporal first:
# a database that is in use is not replaced. Runs where pg_restore is; PGHOST, PGUSER and PGPASSWORD name the server.
set -eu

folder=${1:?which backup, e.g. /backups/20351123T030000Z}
for database in drumbeat temporal temporal_visibility; do
    [ -f "$folder/$database.dump" ] || { echo "$folder has no $database.dump: nothing was changed" >&2; exit 1; }
done
# The new ones take the old ones' place when all are complete.
for database in drumbeat temporal temporal_visibility; do
    owner=${database%%_*}
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<SQL
drop database if exists ${database}_restored;
create database ${database}_restored owner $owner;
revoke all on database ${database}_restored from public;
SQL
    pg_restore --exit-on-error --dbname "${database}_restored" "$folder/$database.dump"
done
for database in drumbeat temporal temporal_visibility; do
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres --command "drop database if exists ${database}_before"
done
# Nobody may be connected to any of the three; otherwise none changes its name.
for database in drumbeat temporal temporal_visibility; do
    echo "alter database $database rename to ${database}_before; alter database ${database}_restored rename to $database;"
done | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --dbname postgres --file -
echo "$folder is restored; what was before is in drumbeat_before, temporal_before and temporal_visibility_before"
