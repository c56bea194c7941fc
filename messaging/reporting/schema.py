"""The database's own schema, for an upgrade: which migrations it has, how large its tables are, what no code uses any more."""

import re
from collections.abc import Collection, Iterable

from messaging.common.database import Connection, Pool

__all__ = ["applied", "rows_of", "unused_functions"]

IS_THERE = "select to_regclass('schema_migrations') is not null"

COUNTED_BELOW = 2_000_000
"""Bytes of a table whose rows are counted; of a larger one PostgreSQL's own estimate is taken."""

SELECT_SIZES = """
select c.relname, greatest(c.reltuples, s.n_live_tup, 0)::bigint as rows,
       c.reltuples < 0 or pg_relation_size(c.oid) < $2 as countable
  from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
 where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname = any($1)
"""

# Functions of ours with what they call: their own code, and whatever else has an expression.
SELECT_FUNCTIONS = """
select p.proname as name, array_agg(p.prosrc) as sources
  from pg_proc p
 where p.pronamespace = current_schema()::regnamespace
   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
 group by p.proname
"""

SELECT_EXPRESSIONS = """
select pg_get_indexdef(indexrelid) from pg_index where indexrelid in
       (select oid from pg_class where relnamespace = current_schema()::regnamespace)
union all
select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
 where c.relnamespace = current_schema()::regnamespace
union all
select pg_get_constraintdef(oid) from pg_constraint where connamespace = current_schema()::regnamespace
union all
select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d join pg_class c on c.oid = d.adrelid
 where c.relnamespace = current_schema()::regnamespace
union all
select pg_get_viewdef(oid) from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'v'
"""

CALLED = re.compile(r"(\w+)\s*\(")


async def applied(connection: Connection | Pool) -> set[str]:
    """The numbers of the migrations that the database has."""
    if not await connection.fetchval(IS_THERE):
        return set()
    return {row[0] for row in await connection.fetch("select version from schema_migrations")}


async def rows_of(connection: Connection | Pool, tables: Collection[str]) -> dict[str, int]:
    """About how many rows each of these tables has; those that are not there are left out."""
    found = {}
    for name, rows, countable in await connection.fetch(SELECT_SIZES, list(tables), COUNTED_BELOW):
        counted = await connection.fetchval(f'select count(*) from "{name}"') if countable else None  # noqa: S608
        found[name] = rows if counted is None else counted
    return found


async def unused_functions(connection: Connection | Pool, code: Iterable[str]) -> tuple[str, ...]:
    """The functions in the database that neither the code (texts of its files) calls, nor anything else that it uses.

    A function counts as called where its name stands before a parenthesis, so one too many is kept rather than one too few.
    """
    functions = {
        name: {word for source in sources for word in CALLED.findall(source)}
        for name, sources in await connection.fetch(SELECT_FUNCTIONS)
    }
    texts = [*code, *(row[0] or "" for row in await connection.fetch(SELECT_EXPRESSIONS))]
    waiting = [
        word for word in {word for text in texts for word in CALLED.findall(text)} if word in functions
    ]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting += [word for word in functions[name] if word in functions]
    return tuple(sorted(set(functions) - used))
