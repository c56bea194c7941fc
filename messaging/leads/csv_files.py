"""Reads and writes CSV files of leads, as spreadsheets, exports and scripts write them.

Understood are UTF-8 with and without a byte order mark, UTF-16 with one, any line ends, the separators comma,
semicolon, tab and bar, a first line ``sep=;``, and quoted values with separators, quotes and line breaks (RFC 4180).
A file is read once, row by row, in bounded memory.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self
from uuid import uuid4

from messaging.common.errors import InvalidInput
from messaging.leads.cells import guarded, guarded_raw
from messaging.leads.csv_columns import Chosen, Columns, find_columns

__all__ = ["Row", "RowFile", "RowWriter", "new_file"]

_MAX_LINE = 1 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what the error handler surrogateescape makes of other bytes


class Row(NamedTuple):
    """A row of a file. ``number`` counts the rows below the header from 1; a spreadsheet counts the header, too."""

    number: int
    cells: list[str]


class RowFile(Iterator[Row]):
    """Reads the rows of a file of leads; ``with`` closes it. Rows without any content are passed over, but counted.

    ``chosen``: which columns are which fields, where that was said. Opening raises InvalidInput if there is no such
    file, its first row does not name a column for the phone, or lacks one that was chosen; reading, if the file is not UTF-8 or a quote is never closed. The error names the line.
    """

    header: list[str]
    columns: Columns
    separator: str

    def __init__(self, path: Path, chosen: Chosen | None = None) -> None:
        self._name = path.name
        self._chosen = chosen
        try:
            self._bytes = path.open("rb")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
        try:
            self._lines = _Lines(self._bytes, self._name)
            self._number = 0
            self._read_header()
        except BaseException:
            self._bytes.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bytes.close()

    @property
    def bytes_total(self) -> int | None:
        """The size of the file; None for a pipe."""
        return os.fstat(self._bytes.fileno()).st_size if self._bytes.seekable() else None

    @property
    def bytes_read(self) -> int:
        """How much of the file was read so far, read-ahead included; 0 for a pipe."""
        return self._bytes.raw.tell() if self._bytes.seekable() else 0

    def __next__(self) -> Row:
        while True:
            cells = self._record()
            self._number += 1
            if any(cell.strip() for cell in cells):
                return Row(self._number, cells)

    def _record(self) -> list[str]:
        begin = self._lines.number + 1
        self._lines.pending = 0
        try:
            cells = next(self._reader)
        except csv.Error as error:
            raise InvalidInput(
                f"{self._name}, line {begin}: a value is longer than {csv.field_size_limit()} characters:"
                " is its closing quote missing?"
            ) from error
        if self._lines.cut_off:
            raise InvalidInput(f"{self._name}, line {begin}: a quote is opened in this row and never closed")
        return cells

    def _read_header(self) -> None:
        first = next(self._lines, "")
        if match := _SEPARATOR_LINE.fullmatch(first):
            self.separator = match[1]
            first = next(self._lines, "")
        else:
            while first and not first.strip():
                first = next(self._lines, "")
            self.separator = _guess_separator(first, self._chosen)
        if "\0" in first:
            raise InvalidInput(f"{self._name} is not a text file: save it as 'CSV UTF-8' and import that")
        self._lines.unread(first)
        self._reader = csv.reader(self._lines, delimiter=self.separator)
        self.header = self._record() if first else []
        if not any(self.header):
            raise InvalidInput(f"{self._name} is empty: its first row must name the columns")
        try:
            columns = find_columns(self.header, self._chosen)
        except InvalidInput as error:
            raise InvalidInput(f"{self._name}: {error}") from error
        if columns is None:
            shown = ", ".join(repr(heading[:40]) for heading in self.header[:8])
            raise InvalidInput(
                f"{self._name} has no column for the phone among {shown}: name one 'phone' in the first row,"
                " or say which it is, with --map phone=COLUMN"
            )
        self.columns = columns


def _guess_separator(line: str, chosen: Chosen | None) -> str:
    """The separator under which the header has what is chosen and a phone, or else the most columns."""

    def fit(separator: str) -> tuple[bool, int]:
        """Whether there is a phone under it, and how many columns."""
        header = next(csv.reader([line], delimiter=separator), [])
        try:
            return find_columns(header, chosen) is not None, len(header)
        except InvalidInput:
            return False, len(header)

    return max(_SEPARATORS, key=fit)


class _Lines(Iterator[str]):
    """The lines of a file with their ends. ``number`` is that of the last one; ``pending`` counts since it was set.

    ``cut_off``: the file ended while a record was being read.
    """

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        start = file.peek(4)
        if start.startswith(b"PK\x03\x04"):
            raise InvalidInput(f"{name} is a workbook or an archive: save it as 'CSV UTF-8' and import that")
        self._utf16 = start.startswith(_UTF16)
        self._text = io.TextIOWrapper(
            file,
            encoding="utf-16" if self._utf16 else "utf-8-sig",
            errors="strict" if self._utf16 else "surrogateescape",
            newline="",
        )
        self._name = name
        self.number = 0
        self.pending = 0
        self.cut_off = False
        self._unread = ""

    def unread(self, line: str) -> None:
        """Puts the last line back, so that it is read again."""
        self._unread = line
        self.number -= 1

    def __next__(self) -> str:
        try:
            line = self._unread or self._text.readline(_MAX_LINE)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{self._name} is not UTF-16 as it says, somewhere after line {self.number}"
            ) from error
        if not line:
            self.cut_off = self.pending > 0
            raise StopIteration
        self._unread = ""
        self.number += 1
        self.pending += 1
        if not line.isascii() and (found := _NOT_UTF8.search(line)):
            raise InvalidInput(
                f"{self._name}, line {self.number}: the byte 0x{ord(found[0]) - 0xDC00:02X} is not UTF-8:"
                " save the file as 'CSV UTF-8' and import that"
            )
        if len(line) == _MAX_LINE and line[-1] not in "\r\n":
            raise InvalidInput(
                f"{self._name}, line {self.number} is over {_MAX_LINE} characters long: no CSV file"
            )
        return line


class RowWriter:
    """Writes rows as CSV: UTF-8, CRLF at the end of a row as in RFC 4180.

    What a spreadsheet would run as a formula is guarded: see :mod:`messaging.leads.cells`. Where the stream cannot be
    written, raises InvalidInput, which calls it ``name``; for a pipe that nobody reads, BrokenPipeError.
    """

    def __init__(self, stream: BinaryIO, name: str, *, separator: str = ",", encoding: str = "utf-8") -> None:
        self._name = name
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        self._writer = csv.writer(self._text, delimiter=separator, lineterminator="\r\n")

    def write(self, values: Iterable[str]) -> None:
        """Adds a row of values."""
        self._write(map(guarded, values))

    def write_raw(self, cells: Iterable[str]) -> None:
        """Adds a row of cells as another file has them."""
        self._write(map(guarded_raw, cells))

    def _write(self, cells: Iterable[str]) -> None:
        with _writing_errors(self._name):
            self._writer.writerow(cells)

    def detach(self) -> None:
        """Writes out what is buffered and leaves the stream open."""
        with _writing_errors(self._name):
            self._text.flush()
            self._text.detach().flush()


@contextmanager
def new_file(path: Path, *, separator: str = ",") -> Iterator[RowWriter]:
    """A writer whose file appears at ``path``, whole, when the block ends well; otherwise nothing is left behind.

    The file begins with a byte order mark, without which spreadsheets take UTF-8 for another encoding. Raises
    InvalidInput where it cannot be written.
    """
    # Follows links. A device or a pipe cannot be replaced, so it is written to directly.
    target = Path(os.path.realpath(path))
    with _writing_errors(str(path)):
        special = target.exists() and not target.is_file()
        part = target if special else target.with_name(f".{uuid4().hex}.part")
        stream = part.open("wb")
    try:
        writer = RowWriter(stream, str(path), separator=separator, encoding="utf-8-sig")
        yield writer
        writer.detach()
        with _writing_errors(str(path)):
            stream.close()
            if not special:
                part.replace(target)
    finally:
        with suppress(OSError):
            stream.close()
        if not special:
            part.unlink(missing_ok=True)


@contextmanager
def _writing_errors(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe
    except OSError as error:
        raise InvalidInput(f"{name} cannot be written: {error.strerror}") from error
