#!/bin/sh
# Makes the roles and databases of Drumbeat and of Temporal in the PostgreSQL server, each with rights on its own only.
# Changes nothing where they are as they should be; sets the passwords anew, so that a changed one takes effect.
# Runs where psql is; PGHOST, PGUSER and PGPASSWORD name the server and its superuser.
set -eu

sql() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres "$@"
}

role() {
    ROLE_PASSWORD=$2 sql --set role="$1" <<'SQL'
\getenv password ROLE_PASSWORD
set log_min_error_statement = panic;  -- keeps the password out of the server's log
select format('create role %I login', :'role')
    where not exists (select from pg_roles where rolname = :'role') \gexec
select format('alter role %I password %L', :'role', :'password') \gexec
SQL
}

database() {
    sql --set name="$1" --set owner="$2" <<'SQL'
select format('create database %I owner %I', :'name', :'owner')
    where not exists (select from pg_database where datname = :'name') \gexec
select format('revoke all on database %I from public', :'name') \gexec
SQL
}

role drumbeat "$DRUMBEAT_DB_PASSWORD"
role temporal "$TEMPORAL_DB_PASSWORD"
database drumbeat drumbeat
database temporal temporal
database temporal_visibility temporal
echo "the databases are ready"
