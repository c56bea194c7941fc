"""All that the ledger knows of a person, as it is stored: for them to have."""

from typing import Any

from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.values import Value
from messaging.leads.forgotten import find_tombstone
from messaging.privacy.erasing import with_arguments
from messaging.privacy.person import Person, find_person
from messaging.privacy.tables import TABLES

__all__ = ["PersonExport", "Stored", "export_person", "stored_rows"]

INTERNAL = (
    "attempts",
    "processing_worker_id",
    "campaign_shard",
    "campaign_position",
    "place_day",
    "xmin",
    "signalled_at",
)
"""Columns that say nothing about a person, but how Drumbeat works."""


SELECT_ROWS = "select t.*{shown} from {table} t where {where} order by {order}"


class Stored(Value):
    """The rows of one table that are about the person."""

    table: str
    title: str
    rows: tuple[dict[str, Any], ...]
    """By the names of the columns. Empty columns are left out. Times are UTC."""


class PersonExport(Value):
    """All that is known of a person."""

    phone: str
    """The present one."""
    phones: tuple[str, ...]
    """All of theirs, former ones too."""
    other_names: tuple[str, ...]
    """By which gateways know them."""
    stored: tuple[Stored, ...]
    """A part for each table that has something of them."""


async def export_person(pool: Pool, phone: str) -> PersonExport:
    """All that is known of the person with this phone (E.164), by whichever of their phones it is. Raises NotFound."""
    if (known := await find_tombstone(pool, phone)) is not None:
        raise NotFound(f"{known.words}: there is nothing to export")
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        person = await find_person(connection, phone)
        present = await connection.fetchval("select present_phone($1)", phone)
        stored = []
        for name, table in TABLES.items():
            rows = [_plain(row) for row in await stored_rows(connection, name, person)]
            if rows:
                stored.append(Stored(table=name, title=table.title, rows=tuple(rows)))
    if not stored:
        raise NotFound(f"nothing is stored of {phone}")
    return PersonExport(
        phone=present, phones=tuple(person.phones), other_names=tuple(person.names), stored=tuple(stored)
    )


async def stored_rows(connection: Any, name: str, person: Person) -> list[Record]:
    """The person's rows of a table, and those in which their phone stands among other words."""
    table = TABLES[name]
    shown = f", {table.shown}" if table.shown else ""
    where = table.whose
    if table.scrubbed and table.whose == "false":
        found = " or ".join(f"position(d.digits in t.{column}::text) > 0" for column in table.scrubbed)
        where = f"exists (select from unnest($6::text[]) d (digits) where {found})"
    elif table.whose == "false":
        return []
    statement, *arguments = with_arguments(
        SELECT_ROWS.format(shown=shown, table=name, where=where, order=table.order),
        [*person.arguments, {}],
    )
    rows: list[Record] = await connection.fetch(statement, *arguments)
    return rows


def _plain(row: Record) -> dict[str, Any]:
    return {
        name: value for name, value in row.items() if value not in (None, [], {}, "") and name not in INTERNAL
    }
