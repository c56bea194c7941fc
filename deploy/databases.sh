#!/bin/sh
# Makes the roles and databases of Drumbeat and of Temporal in the PostgreSQL server, each with rights on its own only.
# Changes nothing where they are as they should be; sets the passwords anew, so that a changed one takes effect.
#
# drumbeat         owns the tables: for migrations
# drumbeat_worker  reads and writes rows, and can change no table: for workers, webhooks and commands
# drumbeat_reader  reads, for at most a minute at a time: for people and programs that only look
# temporal         Temporal's own
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

# What the roles may do with tables that are there, and with those that later migrations make.
grants() {
    PGDATABASE=drumbeat psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
grant connect, temporary on database drumbeat to drumbeat_worker;
grant connect on database drumbeat to drumbeat_reader;
grant usage on schema public to drumbeat_worker, drumbeat_reader;
grant select, insert, update, delete on all tables in schema public to drumbeat_worker;
grant usage, select on all sequences in schema public to drumbeat_worker;
grant select on all tables in schema public to drumbeat_reader;
alter default privileges for role drumbeat in schema public
    grant select, insert, update, delete on tables to drumbeat_worker;
alter default privileges for role drumbeat in schema public grant usage, select on sequences to drumbeat_worker;
alter default privileges for role drumbeat in schema public grant select on tables to drumbeat_reader;
alter role drumbeat_worker set statement_timeout = '15min';
alter role drumbeat_worker set lock_timeout = '5min';
alter role drumbeat_worker set idle_in_transaction_session_timeout = '10min';
alter role drumbeat_reader set statement_timeout = '1min';
alter role drumbeat_reader set lock_timeout = '10s';
alter role drumbeat_reader set idle_in_transaction_session_timeout = '1min';
-- Of the server's 300, so that Temporal always has some. A process uses at most DRUMBEAT_POOL_SIZE of them.
alter role drumbeat_worker connection limit 180;
alter role drumbeat_reader connection limit 20;
alter role drumbeat_reader set default_transaction_read_only = on;
SQL
}

role drumbeat "$DRUMBEAT_DB_PASSWORD"
role drumbeat_worker "$DRUMBEAT_WORKER_DB_PASSWORD"
role drumbeat_reader "$DRUMBEAT_READER_DB_PASSWORD"
role temporal "$TEMPORAL_DB_PASSWORD"
database drumbeat drumbeat
grants
database temporal temporal
database temporal_visibility temporal
echo "the databases are ready"
