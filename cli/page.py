"""Text output that fits the terminal: tables with one line for each row, and sentences that are never cut."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Column", "Table", "attention", "one_line", "page_width", "painted", "shortened", "wrapped"]

_GAP = "  "
_ELLIPSIS = "…"
_NARROW = 40
"""Columns of a terminal. In a narrower one, the terminal breaks the lines."""
_JOINERS = "\u200c\u200d"
_SKIN_TONES = "".join(map(chr, range(0x1F3FB, 0x1F400)))
_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
"""Letters of which two make a flag."""


def page_width() -> int | None:
    """The width in columns: that of the terminal, or of COLUMNS; None if there is no limit, as in a pipe."""
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return max(_NARROW, shutil.get_terminal_size().columns)
    return None


GREEN, YELLOW, RED, BOLD = "32", "33", "1;31", "1"

_COLOURS = {
    **dict.fromkeys(("active", "running", "sent", "kept", "completed", "delivered"), GREEN),
    **dict.fromkeys(("paused", "queued", "held", "waits", "scheduled", "unconfirmed", "expired"), YELLOW),
    **dict.fromkeys(("failed", "BROKEN", "suppressed", "stopped", "cancelled", "opted_out"), RED),
}
"""Of cells that hold nothing but such a word."""


def _paints() -> bool:
    """True if the output has colours: on a terminal, unless NO_COLOR is set (https://no-color.org) or TERM is dumb."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str) -> str:
    """The text in that colour, where the output has colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if text and _paints() else text


def attention(text: str, indent: str = "") -> list[str]:
    """A sentence on what needs an operator, in lines that fit the page."""
    return [painted(line, YELLOW) for line in wrapped(f"! {text}", indent)]


def one_line(text: object) -> str:
    """A text from outside as one line, safe for a terminal: no control characters, no line breaks.

    The joiners stay, which emoji and some scripts need; marks that turn the direction of a line around go.
    """
    return " ".join(
        "".join(one if one.isprintable() or one in _JOINERS else " " for one in str(text)).split()
    )


def shortened(text: str, width: int) -> str:
    """The text, or its beginning with an ellipsis if it has more than ``width`` columns."""
    if _columns(text) <= width:
        return text
    kept, room = "", width - 1
    for sign in _signs(text):
        room -= _sign_columns(sign)
        if room < 0:
            break
        kept += sign
    return kept.rstrip() + _ELLIPSIS


def wrapped(text: str, indent: str = "") -> list[str]:
    """The whole text, in lines that fit the page, each of them indented."""
    width, line = page_width(), one_line(text)
    if width is None:
        return [indent + line]
    room = max(_NARROW // 2, width - len(indent))
    return [indent + one for one in _folded(line, room)]


def _folded(line: str, room: int, *, every: bool = False) -> list[str]:
    """The line in pieces of at most ``room`` columns. ``every``: even an address or ID is broken."""
    lines, current, used = [], "", 0
    for word in (part for whole in line.split(" ") for part in _parts(whole, room, every=every)):
        columns = _columns(word)
        if current and used + 1 + columns > room:
            lines.append(current)
            current, used = "", 0
        current, used = (f"{current} {word}", used + 1 + columns) if current else (word, columns)
    return [*lines, current] if current else lines


def _parts(word: str, room: int, *, every: bool = False) -> list[str]:
    """A word in pieces that fit, for scripts without spaces. An address or ID stays whole, so that it can be copied."""
    if (word.isascii() and not every) or _columns(word) <= room:
        return [word]
    parts, current, used = [], "", 0
    for sign in _signs(word):
        columns = _sign_columns(sign)
        if used + columns > room:
            parts.append(current)
            current, used = "", 0
        current, used = current + sign, used + columns
    return [*parts, current]


@dataclass(frozen=True)
class Column:
    """``least``: to how many columns it may be shortened; None: not at all. ``spare``: it is left out if there is no
    room.

    Of several that may give way, the last one goes first. ``right``: aligned right, for numbers. ``fold``: what has no room
    goes on in lines below, and is never cut.
    """

    heading: str
    least: int | None = None
    spare: bool = False
    right: bool = False
    fold: bool = False


@dataclass
class Table:
    """A table with headings. A row is one line, or more if a column is folded, and may have more lines below it."""

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
        lines = [
            painted(self._line([column.heading for column in columns], widths, places, heads=True), BOLD)
        ]
        for cells, below in self._rows:
            lines += [*self._lines(cells, widths, places), *below]
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

    def _lines(self, cells: list[str], widths: list[int], places: list[int]) -> Iterator[str]:
        folded = {
            place: _folded(cells[place], widths[place], every=True)
            for place in places
            if self.columns[place].fold
        }
        for number in range(max([1, *map(len, folded.values())])):
            line = [cell if not number else "" for cell in cells]
            for place, parts in folded.items():
                line[place] = parts[number] if number < len(parts) else ""
            yield self._line(line, widths, places)

    def _line(self, cells: list[str], widths: list[int], places: list[int], *, heads: bool = False) -> str:
        parts = []
        for place in places:
            cell = shortened(cells[place], widths[place])
            room = " " * (widths[place] - _columns(cell))
            if place == places[-1] and not self.columns[place].right:
                room = ""
            cell = painted(cell, _COLOURS[cell]) if cell in _COLOURS and not heads else cell
            parts.append(room + cell if self.columns[place].right else cell + room)
        return _GAP.join(parts).rstrip()


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_sign_columns, _signs(text)))


def _signs(text: str) -> Iterator[str]:
    """The text in what a reader sees as one sign each: a letter with its marks, an emoji with all that is joined to it."""
    sign = ""
    for one in text:
        joined = sign.endswith("\u200d") or (len(sign) == 1 and one in _FLAGS and sign in _FLAGS)
        if sign and not joined and not _belongs_to_the_last(one):
            yield sign
            sign = ""
        sign += one
    if sign:
        yield sign


def _belongs_to_the_last(one: str) -> bool:
    return unicodedata.category(one) in ("Mn", "Me") or one in _JOINERS or one in _SKIN_TONES


def _sign_columns(sign: str) -> int:
    first = sign[0]
    if _belongs_to_the_last(first):
        return 0
    wide = unicodedata.east_asian_width(first) in "WF" or "\ufe0f" in sign or first in _FLAGS
    return 2 if wide else 1
