"""Text output that fits the terminal: tables with one line for each row, and sentences that are never cut."""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Column", "Table", "one_line", "page_width", "shortened", "wrapped"]

_GAP = "  "
_ELLIPSIS = "…"
_NARROW = 40
"""Columns of a terminal. In a narrower one, the terminal breaks the lines."""


def page_width() -> int | None:
    """The width in columns: that of the terminal, or of COLUMNS; None if there is no limit, as in a pipe."""
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return max(_NARROW, shutil.get_terminal_size().columns)
    return None


def one_line(text: object) -> str:
    """A text from outside as one line, safe for a terminal: no control characters, no line breaks."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())


def shortened(text: str, width: int) -> str:
    """The text, or its beginning with an ellipsis if it has more than ``width`` columns."""
    if _columns(text) <= width:
        return text
    while text and _columns(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def wrapped(text: str, indent: str = "") -> list[str]:
    """The whole text, in lines that fit the page, each of them indented."""
    width, line = page_width(), one_line(text)
    if width is None:
        return [indent + line]
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True)
class Column:
    """``least``: to how many columns it may be shortened; None: not at all. ``spare``: it is left out if there is no
    room.

    Of several that may give way, the last one goes first. ``right``: aligned right, for numbers.
    """

    heading: str
    least: int | None = None
    spare: bool = False
    right: bool = False


@dataclass
class Table:
    """A table with headings. A row is one line, and may have more lines below it."""

    columns: Sequence[Column]
    _rows: list[tuple[list[str], list[str]]] = field(default_factory=list)

    def row(self, *cells: object, below: Sequence[str] = ()) -> None:
        """Adds a row. ``below``: lines under it, unchanged."""
        assert len(cells) == len(self.columns)
        self._rows.append(([one_line("" if cell is None else cell) for cell in cells], list(below)))

    def __str__(self) -> str:
        rows = [cells for cells, _ in self._rows]
        columns = list(self.columns)
        widths = [
            max(map(_columns, (column.heading, *(cells[place] for cells in rows))))
            for place, column in enumerate(columns)
        ]
        # Columns that are empty in every row are left out.
        places = [place for place in range(len(columns)) if any(cells[place] for cells in rows)]
        limit = page_width()
        if limit is not None:
            self._fit(widths, places, limit)
        lines = [self._line([column.heading for column in columns], widths, places)]
        for cells, below in self._rows:
            lines += [self._line(cells, widths, places), *below]
        return "\n".join(lines)

    def _fit(self, widths: list[int], places: list[int], limit: int) -> None:
        def excess() -> int:
            return sum(widths[place] for place in places) + len(_GAP) * (len(places) - 1) - limit

        def shorten() -> None:
            for place in reversed(places):
                least = self.columns[place].least
                if least is not None:
                    least = max(least, _columns(self.columns[place].heading))
                    widths[place] -= max(0, min(excess(), widths[place] - least))

        natural = list(widths)
        shorten()
        for place in [place for place in reversed(places) if self.columns[place].spare]:
            if excess() > 0:
                places.remove(place)
                widths[:] = natural
                shorten()

    def _line(self, cells: list[str], widths: list[int], places: list[int]) -> str:
        parts = []
        for place in places:
            cell = shortened(cells[place], widths[place])
            room = " " * (widths[place] - _columns(cell))
            parts.append(room + cell if self.columns[place].right else cell + room)
        return _GAP.join(parts).rstrip()


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
