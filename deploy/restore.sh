#!/bin/sh
# Replaces the three databases by those of a backup: restore.sh FOLDER. Stop the workers, the webhooks and Temporal first:
# a database that is in use is not replaced. Runs where pg_restore is; PGHOST, PGUSER and PGPASSWORD name the server.
set -eu

folder=${1:?which backup, e.g. /backups/20351123T030000Z}
for database in drumbeat temporal temporal_visibility; do
    [ -f "$folder/$database.dump" ] || { echo "$folder has no $database.dump: nothing was changed" >&2; exit 1; }
done
# All or nothing for each: the new one takes the old one's place when it is complete.
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
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<SQL
drop database if exists ${database}_before;
alter database $database rename to ${database}_before;
alter database ${database}_restored rename to $database;
SQL
    echo "$database is restored; what it was before is ${database}_before"
done
