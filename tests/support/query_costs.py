"""What a query takes, in numbers that do not depend on the machine: rows read, and buffers touched.

A case is run by the code that owns it, and its statements are caught on their way to the server. Then each is prepared and
explained eight times with the same arguments, as asyncpg's cache would have it: the last ones may follow a generic plan.
What a function does inside counts with it, its plans too. No case scans one of the three big tables, but for the reports of
operators and the start of a campaign, whose limits say so.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import asyncpg
from asyncpg.connection import LoggedQuery

from messaging.common.database import Connection, Pool
from tests.support.big_ledger import BIG, MILLION, Big, sized

__all__ = ["Case", "Limit", "NobodyToTell", "OneConnection", "needs_its_index", "stays_small"]

TIMES = 8
"""PostgreSQL thinks of a generic plan from the sixth on."""


@dataclass
class QueryCost:
    """What some statements took, the worst of eight times of each. ``scanned``: big tables that were read as a whole."""

    rows: int = 0
    buffers: int = 0
    scanned: set[str] = field(default_factory=set)
    plans: list[str] = field(default_factory=list)

    def beyond(self, limit: "Limit") -> list[str]:
        """What is more than it may be."""
        found = [f"{table} is scanned" for table in sorted(self.scanned) if not limit.scans]
        if self.rows > limit.rows:
            found.append(f"{self.rows:,} rows of big tables are read, and {limit.rows:,} are allowed")
        if self.buffers > limit.buffers:
            found.append(f"{self.buffers:,} buffers are touched, and {limit.buffers:,} are allowed")
        return found


@dataclass(frozen=True)
class Limit:
    """What a case may take. ``scans``: also a pass over a big table. ``before``: SQL that comes first, and is undone.

    ``grows``: what is given is for a million, and of fewer it may take as much less, but for a hundred buffers.
    """

    rows: int
    buffers: int
    grows: bool = False
    scans: bool = False
    before: str = ""

    def of(self, rows: int) -> "Limit":
        """For so many rows of each."""
        own = replace(self, before=sized(self.before, rows))
        if not self.grows:
            return own
        return replace(own, rows=self.rows * rows // MILLION, buffers=100 + self.buffers * rows // MILLION)


class OneConnection:
    """The part of a pool that the domain uses, on one connection, whose transaction stays open."""

    def __init__(self, connection: Connection) -> None:
        self.fetch = connection.fetch
        self.fetchrow = connection.fetchrow
        self.fetchval = connection.fetchval
        self.execute = connection.execute
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """The connection."""
        yield self._connection


class NobodyToTell:
    """The part of a connection that tells nobody: for commands that have only the database to ask."""

    def __init__(self, pool: Pool) -> None:
        self.temporal = None
        self._pool = pool

    async def pool(self) -> Pool:
        """The pool."""
        return self._pool


Case = Callable[[Pool, Big], Awaitable[Any]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that is undone."""
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()
    finally:
        await connection.close()


async def cost_of(connection: Connection, case: Case, big: Big, times: int = TIMES) -> QueryCost:
    """Runs the case, undoes it, and explains each of its statements."""
    caught: list[LoggedQuery] = []
    attempt = connection.transaction()
    await attempt.start()
    with connection.query_logger(caught.append):
        await case(cast("Pool", OneConnection(connection)), big)
    await attempt.rollback()
    taken = QueryCost()
    for query, arguments in {
        (one.query, repr(one.args)): (one.query, one.args)
        for one in caught
        if one.query.split(maxsplit=1)[0].lower() in ("select", "with", "insert", "update", "delete")
    }.values():
        await _explain(connection, query, arguments, times, taken)
    assert taken.plans, "no statement was caught"
    return taken


async def _explain(
    connection: Connection, query: str, arguments: Sequence[Any], times: int, taken: QueryCost
) -> None:
    types = [one.name for one in (await connection.prepare(query)).get_parameters()]
    literals = [
        await connection.fetchval(f"select quote_nullable($1::{kind}::text)", argument)
        for kind, argument in zip(types, arguments, strict=True)
    ]
    await connection.execute(f"prepare hot as {query}")
    call = f"execute hot({', '.join(literals)})" if literals else "execute hot"
    rows = buffers = 0
    for number in range(times):
        before = await _read(connection)
        attempt = connection.transaction()
        await attempt.start()
        answer = json.loads(
            await connection.fetchval(f"explain (analyze, buffers, timing off, format json) {call}")
        )
        await attempt.rollback()
        after = await _read(connection)
        plan = answer[0]["Plan"]
        taken.scanned |= {table for table in BIG if after[table][0] > before[table][0]}
        taken.scanned |= {
            node["Relation Name"]
            for node in _nodes(plan)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
        }
        by_plan = sum(_rows_read(node) for node in _nodes(plan))
        by_count = sum(after[table][1] - before[table][1] for table in BIG)
        rows = max(rows, by_plan, by_count)
        # In the first of several, a new session's reading of the catalogue is counted with it.
        if number or times == 1:
            buffers = max(buffers, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    await connection.execute("deallocate hot")
    taken.rows += rows
    taken.buffers += buffers
    taken.plans.append(f"{rows:,} rows, {buffers:,} buffers: {query}\n{json.dumps(plan, indent=1)}")


async def _read(connection: Connection) -> dict[str, tuple[int, int]]:
    """Of each big table: scans in this transaction, and rows read, also inside of functions."""
    rows = await connection.fetch(
        "select relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows"
        " from pg_stat_xact_user_tables where relname = any($1)",
        BIG,
    )
    return {row["relname"]: (row["seq_scan"], row["rows"]) for row in rows}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows_read(node: dict[str, Any]) -> int:
    if node.get("Relation Name") not in BIG or "Scan" not in node["Node Type"]:
        return 0
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    each = sum(float(node.get(kind, 0)) for kind in kinds)
    return round(each * float(node["Actual Loops"]))


async def stays_small(big: Big, case: Case, limit: Limit) -> None:
    """Asserts that the case takes no more than that."""
    allowed = limit.of(big.rows)
    async with opened(big.url) as connection:
        if allowed.before:
            await connection.execute(allowed.before)
        taken = await cost_of(connection, case, big)
    assert not taken.beyond(allowed), "\n".join([*taken.beyond(allowed), *taken.plans])


async def needs_its_index(big: Big, case: Case, limit: Limit, taken_away: str) -> None:
    """Asserts that it takes more without this index: SQL that drops it, which is undone."""
    allowed = limit.of(big.rows)
    async with opened(big.url) as connection:
        await connection.execute(f"{taken_away}; {allowed.before}")
        taken = await cost_of(connection, case, big, times=2)
    assert taken.beyond(allowed)
