"""Databases for one test after the other: to empty one takes a fraction of the time that a new one takes."""

import itertools

import asyncpg

from messaging.common.database import Connection
from runtime.database import migrate
from runtime.embedded.postgres import Postgres

__all__ = ["TEMPLATE", "Databases"]

TEMPLATE = "template_drumbeat"
"""The one that is migrated; the others are copies of it."""

# To truncate takes new files for each table and index, which is five times the work of deleting some rows. What has grown is
# truncated all the same, so that no table carries the dead rows of many tests. As a replica, to check no foreign keys.
_EMPTY = """
do $$
declare
    names text[];
    name  text;
    grown boolean;
begin
    select array_agg(oid::regclass::text), max(pg_relation_size(oid)) > 200000
      into names, grown from pg_class
     where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'schema_migrations';
    if grown then
        execute 'truncate ' || array_to_string(names, ', ');
    else
        set local session_replication_role = replica;
        foreach name in array names loop
            if pg_relation_size(name::regclass) > 0 then
                execute 'delete from ' || name;
            end if;
        end loop;
    end if;
    perform setval(seqrelid, seqstart, false) from pg_sequence;
end $$
"""

# The catalogue's rows as they stand, but for what runs by itself changes. A copy has its template's object IDs.
_SCHEMA = """
with own as (select * from pg_class where relnamespace = 'public'::regnamespace)
select md5(concat(
    (select string_agg(concat_ws(' ', oid, relname, relkind, reloptions, relpersistence), ',' order by oid) from own),
    (select string_agg(concat_ws(' ', attrelid, attnum, attname, atttypid, attnotnull, attisdropped), ',' order by attrelid, attnum)
       from pg_attribute where attrelid in (select oid from own)),
    (select string_agg(c::text, ',' order by oid) from pg_constraint c where connamespace = 'public'::regnamespace),
    (select string_agg(i::text, ',' order by indexrelid) from pg_index i where indrelid in (select oid from own)),
    (select string_agg(p::text, ',' order by oid) from pg_proc p where pronamespace = 'public'::regnamespace),
    (select string_agg(t::text, ',' order by oid) from pg_trigger t),
    (select string_agg(d::text, ',' order by oid) from pg_attrdef d),
    (select string_agg(s::text, ',' order by seqrelid) from pg_sequence s),
    (select string_agg(e::text, ',' order by oid) from pg_extension e),
    (select string_agg(n::text, ',' order by oid) from pg_namespace n where nspname !~ '^pg_'),
    (select string_agg(s::text, ',' order by s::text) from pg_db_role_setting s),
    (select string_agg(m::text, ',' order by m::text) from schema_migrations m)))
"""


class Databases:
    """The session's, on its server. Each is migrated and empty when it is taken."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._numbers = itertools.count()
        self._empty: list[str] = []
        self._schema = ""

    async def prepare(self) -> None:
        """Makes the one that the others are copies of."""
        await self._of_the_server(f"create database {TEMPLATE}")
        await migrate(self._server.url(TEMPLATE))
        connection = await asyncpg.connect(self._server.url(TEMPLATE))
        try:
            self._schema = await connection.fetchval(_SCHEMA)
        finally:
            await connection.close()

    async def take(self) -> str:
        """The name of one."""
        if self._empty:
            return self._empty.pop()
        name = f"test_{next(self._numbers)}"
        await self._of_the_server(f"create database {name} template {TEMPLATE} strategy file_copy")
        return name

    async def give_back(self, name: str) -> None:
        """Ends who still uses it, and empties it; one whose schema was changed is dropped."""
        connection = await asyncpg.connect(self._server.url(name))
        try:
            await connection.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            fit = await self._is_unchanged(connection)
            if fit:
                await connection.execute(_EMPTY)
        finally:
            await connection.close()
        if fit:
            self._empty.append(name)
        else:
            await self._of_the_server(f"drop database {name} with (force)")

    async def _is_unchanged(self, connection: Connection) -> bool:
        try:
            return bool(await connection.fetchval(_SCHEMA) == self._schema)
        except asyncpg.UndefinedTableError:
            return False

    async def _of_the_server(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
