"""Writes all leads to a file that, imported again, gives the same leads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from messaging.common.database import Pool, Record
from messaging.common.values import Value
from messaging.leads.csv_columns import EXPORTED
from messaging.leads.csv_files import RowWriter, new_file

__all__ = ["ExportSummary", "LeadCondition", "export_file"]

_PAGE = 1000

COUNT_LEADS = "select count(*) from leads l where {condition}"

SELECT_LEADS = "select * from leads l where {condition} order by id"


class ExportSummary(Value):
    """The result of an export; ``file`` is None for a stream."""

    file: str | None
    leads: int
    attributes: tuple[str, ...]


class LeadCondition(NamedTuple):
    """The SQL of a condition on a lead l, with the values of its parameters from $1 on."""

    sql: str = "true"
    values: tuple[Any, ...] = ()


async def export_file(
    pool: Pool,
    target: Path | BinaryIO,
    *,
    condition: LeadCondition = LeadCondition(),  # noqa: B008 - it cannot change
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportSummary:
    """Exports all leads, or those of a condition, in the order of their creation, with a column for each attribute, in bounded memory.

    A file appears only once it is complete. It begins with a byte order mark for spreadsheets; a stream does not. All
    rows are from one snapshot, even if an import runs. ``progress`` is called with the leads done and all leads.

    The file names the leads' devices, which must exist where it is imported; it does not contain messages. Raises
    InvalidInput if the file cannot be written.
    """
    with _writer(target) as writer:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            total = await connection.fetchval(COUNT_LEADS.format(condition=condition.sql), *condition.values)
            names = await connection.fetch("select distinct jsonb_object_keys(attributes) as name from leads")
            attributes = sorted(row["name"] for row in names)
            writer.write([*EXPORTED, *attributes])
            done = 0
            progress(done, total)
            cursor = await connection.cursor(SELECT_LEADS.format(condition=condition.sql), *condition.values)
            while page := await cursor.fetch(_PAGE):
                for row in page:
                    writer.write(_cells(row, attributes))
                done += len(page)
                progress(done, total)
    return ExportSummary(
        file=str(target) if isinstance(target, Path) else None, leads=done, attributes=tuple(attributes)
    )


@contextmanager
def _writer(target: Path | BinaryIO) -> Iterator[RowWriter]:
    if isinstance(target, Path):
        with new_file(target) as writer:
            yield writer
    else:
        writer = RowWriter(target, "the output")
        try:
            yield writer
        finally:
            writer.detach()


def _cells(row: Record, attributes: list[str]) -> list[str]:
    return [
        row["phone"],
        row["name"],
        ",".join(row["niches"]),
        ",".join(row["triggers"]),
        row["target_status"],
        row["device_id"] or "",
        row["time_zone"] or "",
        *_consent(row),
        *(row["attributes"].get(name, "") for name in attributes),
    ]


def _consent(row: Record) -> tuple[str, str, str]:
    """Consent, when it was given or taken back, and the source, as an import reads them."""
    at = row["consent_at"] or row["consent_withdrawn_at"]
    if at is None:
        return "", "", ""
    said = "yes" if row["consent_at"] else "no"
    return (
        row["consent_note"] or said if row["consent_at"] else said,
        at.isoformat(),
        row["consent_source"] or "",
    )
