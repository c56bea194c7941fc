"""Brings a file of leads into the database, all of it or nothing.

Rows are copied into a temporary table as they are read, folded there to one row for one phone, and joined to the
leads in one statement. So memory is bounded whatever the size of the file, rows that repeat a phone find each other
however far apart they stand, and an import that breaks off has changed nothing.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from messaging.database import Connection, Pool
from messaging.errors import InvalidInput, NotFound
from messaging.identity import validate_region
from messaging.lead_columns import REJECT_COLUMNS
from messaging.lead_files import Row, RowFile, RowWriter, new_file
from messaging.lead_values import attribute_name
from messaging.leads import MERGE
from messaging.models import Lead, Value

__all__ = ["ImportProgress", "ImportSummary", "import_file"]

_CHUNK = 1000

_ADD_DEVICE = "create it with 'device add {} --gateway NAME'"

_STAGED = (
    "row_number",
    "phone",
    "name",
    "niches",
    "triggers",
    "target_status",
    "device_id",
    "time_zone",
    "attributes",
)

_CREATE_TABLES = """
create temporary table lead_rows (
    row_number bigint, phone text, name text, niches text[], triggers text[],
    target_status text, device_id text, time_zone text, attributes text
) on commit drop;
create temporary table given_leads (
    phone text primary key, name text, niches text[], triggers text[],
    target_status text, device_id text, time_zone text, attributes jsonb
) on commit drop
"""

# One row for one phone. Of several rows the last that says something counts; words unite in the order of the file; a
# device named in a row counts before the one given for the whole file ($1).
_FOLD = """
with said as (
    select phone,
           (array_agg(name order by row_number desc) filter (where name <> ''))[1] as name,
           (array_agg(target_status order by row_number desc) filter (where target_status is not null))[1]
               as target_status,
           (array_agg(device_id order by row_number) filter (where device_id is not null))[1] as device_id,
           (array_agg(time_zone order by row_number desc) filter (where time_zone is not null))[1] as time_zone
      from lead_rows group by phone
), niches as (
    select phone, array_agg(word order by row_number, place) as words
      from (select distinct on (phone, word) phone, word, row_number, place
              from lead_rows, unnest(niches) with ordinality as u (word, place)
             order by phone, word, row_number, place) first_of_each
     group by phone
), triggers as (
    select phone, array_agg(word order by row_number, place) as words
      from (select distinct on (phone, word) phone, word, row_number, place
              from lead_rows, unnest(triggers) with ordinality as u (word, place)
             order by phone, word, row_number, place) first_of_each
     group by phone
), attributes as (
    select phone, jsonb_object_agg(key, value order by row_number) as pairs
      from lead_rows, jsonb_each_text(attributes::jsonb) group by phone
)
insert into given_leads (phone, name, niches, triggers, target_status, device_id, time_zone, attributes)
select phone, coalesce(name, ''), coalesce(niches.words, '{}'), coalesce(triggers.words, '{}'), target_status,
       coalesce(device_id, $1), time_zone, coalesce(pairs, '{}')
  from said left join niches using (phone) left join triggers using (phone) left join attributes using (phone)
"""

_COUNT = """
select count(*) as leads, count(*) filter (where l.device_id <> g.device_id) as kept_device
  from given_leads g left join leads l using (phone)
"""

_COUNTED_MERGE = f"""
with merged as ({MERGE} returning xmax = 0 as is_new)  -- a row that was there before bears our lock in xmax
select count(*) filter (where is_new) as imported, count(*) filter (where not is_new) as updated from merged
"""  # noqa: S608 - constants


class ImportProgress(NamedTuple):
    """How far an import is. ``bytes_total`` is None where the size is unknown; ``merging``: the file is read."""

    rows: int
    bytes_read: int
    bytes_total: int | None
    merging: bool = False


class ImportSummary(Value):
    """What came of an import: ``rows = imported + updated + unchanged + repeats + rejected``."""

    file: str
    rows: int
    """Rows below the header, those without any content left out."""
    imported: int
    """Leads that are new."""
    updated: int
    """Leads that were known, and of whom the file said something new."""
    unchanged: int
    """Leads that were known, and of whom the file said nothing new."""
    repeats: int
    """Rows whose phone stands in a usable row before them; what they say was joined to it."""
    rejected: int
    """Rows that could not be used; they stand in ``rejects_file`` with the reason."""
    rejects_file: str | None
    kept_device: int
    """Known leads that belong to another device than the file says, and still do."""


async def import_file(
    pool: Pool,
    path: Path,
    *,
    device: str | None = None,
    default_region: str | None = None,
    rejects: Path | None = None,
    progress: Callable[[ImportProgress], None] = lambda _: None,
) -> ImportSummary:
    """Imports a CSV file of leads; see :mod:`messaging.lead_files` for what is understood.

    ``device`` owns the leads that have no device yet and whose row names none. ``default_region`` (``MY``) is that of
    phones without a country code. Rows that cannot be used go to ``rejects`` (default: beside the file, as
    ``leads.rejects.csv`` for ``leads.csv``), which is written only if there are any, and can be imported once corrected.

    Raises NotFound for an unknown device, and InvalidInput where the file cannot be read; nothing is stored then.
    """
    region = validate_region(default_region)
    rejects = rejects or path.with_suffix(".rejects.csv")
    if rejects.resolve() == path.resolve():
        raise InvalidInput(f"the rejects cannot go to {path} itself: name another file with --rejects")
    with RowFile(path) as rows, ExitStack() as at_end:
        async with pool.acquire() as connection, connection.transaction():
            devices = {record["id"] for record in await connection.fetch("select id from devices")}
            if device is not None and device not in devices:
                raise NotFound(f"there is no device {device!r}: {_ADD_DEVICE.format(device)}")
            await connection.execute(_CREATE_TABLES)
            reader = _Reader(
                rows,
                devices,
                region,
                lambda: at_end.enter_context(new_file(rejects, separator=rows.separator)),
            )
            while (chunk := await asyncio.to_thread(reader.next_chunk)) is not None:
                await connection.copy_records_to_table("lead_rows", records=chunk, columns=_STAGED)
                progress(ImportProgress(reader.rows, rows.bytes_read, rows.bytes_total))
            progress(ImportProgress(reader.rows, rows.bytes_read, rows.bytes_total, merging=True))
            merged = await _merge(connection, device)
    usable = reader.rows - reader.rejected
    return ImportSummary(
        file=str(path),
        rows=reader.rows,
        imported=merged["imported"],
        updated=merged["updated"],
        unchanged=merged["leads"] - merged["imported"] - merged["updated"],
        repeats=usable - merged["leads"],
        rejected=reader.rejected,
        rejects_file=str(rejects) if reader.rejected else None,
        kept_device=merged["kept_device"],
    )


async def _merge(connection: Connection, device: str | None) -> dict[str, int]:
    await connection.execute("analyze lead_rows")
    await connection.execute(_FOLD, device)
    await connection.execute("analyze given_leads")
    counts = await connection.fetchrow(_COUNT)
    merged = await connection.fetchrow(_COUNTED_MERGE)
    assert counts is not None
    assert merged is not None
    return {**counts, **merged}


class _Reader:
    """Turns rows into what is copied, and puts aside those that cannot be used."""

    def __init__(
        self, rows: RowFile, devices: set[str], region: str | None, open_rejects: Callable[[], RowWriter]
    ) -> None:
        self._source = rows
        self._devices = devices
        self._region = region
        self._open_rejects = open_rejects
        self._rejects: RowWriter | None = None
        # A file of rejects that is imported again has these columns; they are not part of the original.
        self._own = {
            place for place, name in enumerate(rows.header) if attribute_name(name) in REJECT_COLUMNS
        }
        self.rows = 0
        self.rejected = 0

    def next_chunk(self) -> list[tuple[object, ...]] | None:
        """The usable ones of the next rows; None after the last."""
        chunk = list(islice(self._source, _CHUNK))
        self.rows += len(chunk)
        return [staged for row in chunk if (staged := self._staged(row)) is not None] if chunk else None

    def _staged(self, row: Row) -> tuple[object, ...] | None:
        try:
            lead = self._lead(row)
        except InvalidInput as error:
            self._reject(row, str(error))
            return None
        return (
            row.number,
            lead.phone,
            lead.name,
            lead.niches,
            lead.triggers,
            lead.target_status,
            lead.device_id,
            lead.time_zone,
            json.dumps(lead.attributes),
        )

    def _lead(self, row: Row) -> Lead:
        lead = self._source.columns.lead(row.cells, self._region)
        if lead.device_id is not None and lead.device_id not in self._devices:
            raise InvalidInput(f"there is no device {lead.device_id!r}: {_ADD_DEVICE.format(lead.device_id)}")
        return lead

    def _reject(self, row: Row, reason: str) -> None:
        if self._rejects is None:
            self._rejects = self._open_rejects()
            self._rejects.write([*REJECT_COLUMNS, *self._original(self._source.header)])
        self._rejects.write([str(row.number), reason, *self._original(row.cells)])
        self.rejected += 1

    def _original(self, cells: list[str]) -> list[str]:
        return [cell for place, cell in enumerate(cells) if place not in self._own]
