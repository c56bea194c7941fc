"""Keeps the latest rows of imported files that could not be used, to explain why a phone is missing among the leads.

Their number is limited, for one import and in all; the oldest are deleted first.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from messaging.common.database import Connection, Pool
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value

__all__ = ["MOST_OF_ONE", "Reject", "RejectedLead", "keep_rejects", "rejects_of"]

MOST_KEPT = 10_000
"""Rows, of all imports together."""

MOST_OF_ONE = 1_000
"""Rows of one import, the last ones."""

_SHOWN = 20
"""Rows of one phone, at most."""

_LONGEST_WRITTEN = 100


class Reject(NamedTuple):
    """A row that could not be used. ``phone``: E.164 where it has one."""

    row: int
    phone: str | None
    written: str
    reason: str


class RejectedLead(Value):
    """A row of a file that could not be used, and so made no lead."""

    phone: str | None
    written: str
    """The phone as it stands in the file."""
    file: str
    row: int
    reason: str
    rejected_at: datetime


async def keep_rejects(connection: Connection, file: str, rejects: Iterable[Reject]) -> None:
    """Replaces what was kept of the file, and forgets the rows of phones that this import has made leads.

    To be called in the import's transaction, once its rows stand in ``lead_rows``.
    """
    await connection.execute("lock table rejected_rows in share row exclusive mode")  # no two prune at once
    await connection.execute(
        "delete from rejected_rows r where file = $1 or exists (select from lead_rows l where l.phone = r.phone)",
        file,
    )
    await connection.executemany(
        "insert into rejected_rows (phone, digits, written, file, row, reason) values ($1, $2, $3, $4, $5, $6)",
        [
            (
                one.phone,
                _digits(one.written),
                storable(one.written, _LONGEST_WRITTEN),
                file,
                one.row,
                storable(one.reason, LONGEST_REASON),
            )
            for one in rejects
        ],
    )
    await connection.execute(
        "delete from rejected_rows where id <= (select id from rejected_rows order by id desc offset $1 limit 1)",
        MOST_KEPT,
    )


async def rejects_of(pool: Pool, phone: str | None, written: str) -> list[RejectedLead]:
    """The kept rows of a phone: by the number (E.164), or by the digits of it as it is written. The latest first."""
    rows = await pool.fetch(
        "select phone, written, file, row, reason, rejected_at from rejected_rows"
        " where phone = $1 or (digits = $2 and ($2 <> '' or lower(written) = lower($4))) order by id desc limit $3",
        phone,
        _digits(written),
        _SHOWN,
        written.strip(),
    )
    return [RejectedLead.model_validate(dict(row)) for row in rows]


def _digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)[:_LONGEST_WRITTEN]
