"""Imports a file of leads, all of it or nothing.

Rows are copied into a temporary table as they are read, merged there to one row for one phone, and joined to the leads
in one statement. So memory is bounded for any size of file, rows with the same phone are merged wherever they are in
the file, and an import that breaks off changes nothing.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict, InvalidInput, NotFound
from messaging.common.phones import quoted, validate_region
from messaging.common.suggestions import similar
from messaging.common.values import Value
from messaging.events.record import note
from messaging.leads.cleaning import attribute_name
from messaging.leads.csv_columns import REJECT_COLUMNS, Chosen, RowReading
from messaging.leads.csv_files import Row, RowFile, RowWriter, new_file
from messaging.leads.csv_fold import (
    JOINED,
    STAGED,
    JoinedRow,
    fold,
    forget_rows,
    joined_rows,
    merge,
    move_others,
    note_leads,
    prepare,
    staged,
)
from messaging.leads.csv_notes import MOST_EXAMPLES, ImportSummary, Notes, RejectedRow
from messaging.leads.csv_rejects import MOST_OF_ONE, Reject, keep_rejects
from messaging.leads.forgotten import ASKED, refused_as_forgotten
from messaging.leads.lead import Lead
from messaging.times.zones import time_zone_warning

__all__ = ["ImportOptions", "ImportProgress", "ImportSummary", "import_file"]

_CHUNK = 1000


def _no_device(device: str, devices: Iterable[str]) -> str:
    """The words that there is no such device, and which one was meant, or how to create it."""
    meant = similar(device, devices)
    hint = f"did you mean {meant!r}, or " if meant is not None else ""
    return f"there is no device {device!r}: {hint}create it with 'device add {device} --gateway NAME'"


class ImportProgress(NamedTuple):
    """How far an import is. ``bytes_total`` is None where the size is unknown; ``merging``: the file is read."""

    rows: int
    bytes_read: int
    bytes_total: int | None
    merging: bool = False


class ImportOptions(Value):
    """How a file is imported."""

    device: str | None = None
    """The device that owns leads that have none yet."""
    move: bool = False
    """Whether leads of another device move to that of the file, with all that is to be sent to them."""
    default_region: str | None = None
    """Country of phones without a country code (ISO 3166)."""
    columns: Chosen | None = None
    """Which columns are which fields, if the headings do not say it: see messaging.leads.csv_columns.parse_chosen."""
    rejects: Path | None = None
    """The file for rows that cannot be used, with the reasons, and for rows that lost a value to another row of their
    phone. Corrected, it can be imported. None: beside the imported file, as NAME.rejects.csv.
    """
    dry_run: bool = False
    """Whether nothing is stored and no file written."""

    def rejects_of(self, path: Path) -> Path:
        """Where the rows of ``path`` that cannot be used go. Raises InvalidInput if that is ``path`` itself."""
        beside = f"{os.path.splitext(path)[0]}.rejects.csv"  # noqa: PTH122 - also of a path without a name
        rejects = self.rejects or Path(beside)
        if os.path.realpath(rejects) == os.path.realpath(path):
            raise InvalidInput(f"the rejects cannot go to {path} itself: name another file with --rejects")
        return rejects


async def import_file(
    pool: Pool,
    path: Path,
    options: ImportOptions | None = None,
    *,
    progress: Callable[[ImportProgress], None] = lambda _: None,
) -> ImportSummary:
    """Imports a CSV file of leads, all of it or nothing; the same file again changes nothing.

    How known leads change: see :mod:`messaging.leads.store`. Raises NotFound for an unknown device, and InvalidInput if
    the file cannot be read.
    """
    options = options or ImportOptions()
    device = options.device
    region = validate_region(options.default_region)
    rejects = options.rejects_of(path)
    with RowFile(path, options.columns) as rows, ExitStack() as at_end:
        async with pool.acquire() as connection, _transaction(connection, undone=options.dry_run):
            devices = {record["id"] for record in await connection.fetch("select id from devices")}
            if device is not None and device not in devices:
                raise NotFound(_no_device(device, devices))
            await prepare(connection)
            writer = (
                None
                if options.dry_run
                else lambda: at_end.enter_context(new_file(rejects, separator=rows.separator))
            )
            aside = _Aside(rows, writer)
            reader = _Reader(rows, devices, region, aside)
            while (chunk := await asyncio.to_thread(reader.next_chunk)) is not None:
                await connection.copy_records_to_table("lead_rows", records=chunk, columns=STAGED)
                progress(ImportProgress(reader.rows, rows.bytes_read, rows.bytes_total))
            progress(ImportProgress(reader.rows, rows.bytes_read, rows.bytes_total, merging=True))
            for number in await forget_rows(connection):
                aside.forget(number)
            await fold(connection, device, reader.notes)
            async for joined in joined_rows(connection):
                reader.notes.add("joined_rows", f"row {joined.number} {joined.reason}")
                aside.join(joined)
            await note_leads(connection, reader.notes)
            moved = await move_others(connection) if options.move else None
            try:
                merged = await merge(connection)
            except asyncpg.CheckViolationError as error:
                if refused_as_forgotten(error):
                    raise Conflict(
                        f"{path} was not imported: somebody in it was forgotten at this moment; import it again"
                    ) from error
                raise
            await keep_rejects(connection, str(path.absolute()), aside.kept)
            if merged["imported"] or merged["updated"] or moved is not None:
                await note(
                    connection,
                    "lead.imported",
                    file=path.name,
                    leads=merged["leads"],
                    new=merged["imported"],
                    updated=merged["updated"],
                    rejected=aside.rejected,
                )
    usable = reader.rows - aside.rejected
    return ImportSummary(
        file=str(path),
        dry_run=options.dry_run,
        rows=reader.rows,
        imported=merged["imported"],
        updated=merged["updated"],
        unchanged=merged["leads"] - merged["imported"] - merged["updated"],
        repeats=usable - merged["leads"],
        rejected=aside.rejected,
        rejects_file=str(rejects) if aside.written else None,
        kept_device=0 if options.move else merged["kept_device"],
        moved=moved,
        columns=rows.columns.format_headings(rows.header),
        attributes=tuple(name for _, name in rows.columns.attributes),
        notes=reader.notes.result(),
        first_rejected=tuple(aside.first),
        first_leads=tuple(reader.first) if options.dry_run else (),
    )


@asynccontextmanager
async def _transaction(connection: Connection, *, undone: bool) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        await transaction.rollback()
        raise type(error)("nothing was stored") from error
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if undone else transaction.commit())


class _Aside:
    """Keeps the rows that cannot be used, and those of which something does not count."""

    def __init__(self, rows: RowFile, open_file: Callable[[], RowWriter] | None) -> None:
        self._source = rows
        self._open = open_file
        self._file: RowWriter | None = None
        # A file of rejects that is imported again has these columns; they are not part of the original.
        self._own = {
            place for place, name in enumerate(rows.header) if attribute_name(name) in REJECT_COLUMNS
        }
        self.rejected = 0
        self.written = False
        self.first: list[RejectedRow] = []
        self.kept: deque[Reject] = deque(maxlen=MOST_OF_ONE)

    def reject(self, row: Row, reason: str, region: str | None) -> None:
        self.rejected += 1
        phone, written = self._source.columns.phone_of(row.cells, region)
        self.kept.append(Reject(row.number, phone, written, reason))
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(RejectedRow(row=row.number, reason=reason))
        self._write(row.number, reason, row.cells)

    def join(self, row: JoinedRow) -> None:
        cells = [""] * len(self._source.header)
        columns = self._source.columns
        if columns.names:
            cells[columns.names[0][0]] = row.name
        cells[columns.phones[0].place] = row.written
        self._write(row.number, row.reason, cells)

    def forget(self, number: int) -> None:
        """Of a person who is to be forgotten: neither what the row says is kept, nor the phone."""
        self.rejected += 1
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(RejectedRow(row=number, reason=ASKED))
        self._write(number, ASKED, [""] * len(self._source.header))

    def passes_over(self, row: Row) -> bool:
        """True if the row is in a file of rejects only for information."""
        return len(self._own) == len(REJECT_COLUMNS) and any(
            place < len(row.cells) and row.cells[place].startswith(JOINED) for place in self._own
        )

    def _write(self, number: int, reason: str, cells: list[str]) -> None:
        if self._open is None:
            return
        if self._file is None:
            self._file = self._open()
            self._file.write_raw([*REJECT_COLUMNS, *self._original(self._source.header)])
            self.written = True
        self._file.write_raw([str(number), reason, *self._original(cells)])

    def _original(self, cells: list[str]) -> list[str]:
        return [cell for place, cell in enumerate(cells) if place not in self._own]


class _Reader:
    """Turns rows into what is copied, and notes how they were understood."""

    def __init__(self, rows: RowFile, devices: set[str], region: str | None, aside: _Aside) -> None:
        self._source = rows
        self._devices = devices
        self._region = region
        self._aside = aside
        self.rows = 0
        self.notes = Notes()
        self.first: list[Lead] = []

    def next_chunk(self) -> list[tuple[object, ...]] | None:
        """The usable ones of the next rows; None after the last."""
        chunk = list(islice(self._source, _CHUNK))
        return [ready for row in chunk if (ready := self._ready(row)) is not None] if chunk else None

    def _ready(self, row: Row) -> tuple[object, ...] | None:
        if self._aside.passes_over(row):
            return None
        self.rows += 1
        try:
            reading = self._reading(row)
        except InvalidInput as error:
            self._aside.reject(row, str(error), self._region)
            return None
        self._note(row.number, reading)
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(reading.lead)
        return staged(row.number, reading)

    def _reading(self, row: Row) -> RowReading:
        reading = self._source.columns.read(row.cells, self._region)
        device = reading.lead.device_id
        if device is not None and device not in self._devices:
            raise InvalidInput(
                f"{_no_device(device, self._devices)};"
                " where the column means something else, add --map device="
            )
        return reading

    def _note(self, number: int, reading: RowReading) -> None:
        phone = reading.phone
        read = f"row {number}: {quoted(reading.written)} is {phone.phone}"
        if phone.left is not None:
            self.notes.add("several_numbers", read)
        if phone.complete:
            self.notes.add("without_plus", read)
        if phone.written != phone.phone:
            self.notes.add("account_form", read + (f" ({phone.doubtful})" if phone.doubtful else ""))
        if reading.passed_over is not None:
            heading = self._source.header[reading.place].strip()
            better = self._source.header[self._source.columns.phones[0].place].strip()
            self.notes.add(
                "other_column", f"{read}, from {heading!r}; not from {better!r}: {reading.passed_over}"
            )
        if reading.other_status is not None:
            self.notes.add("other_status", f"row {number}: {quoted(reading.other_status)}")
        zone = reading.lead.time_zone
        if zone is not None and (warning := time_zone_warning(zone)):
            self.notes.add("time_zone", f"row {number}: {warning}")
