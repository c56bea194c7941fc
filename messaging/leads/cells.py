"""Guards values against being run as formulas by spreadsheets, and reads values as spreadsheets write them.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return is a formula to a spreadsheet, whatever the
quotes around it (OWASP, "CSV Injection"). An apostrophe before it makes it a text, and an import takes that away again.
"""

import re

__all__ = ["guarded", "guarded_raw", "unguarded"]

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?|\+[0-9][0-9 ().-]{5,20}")
_AS_TEXT = re.compile(r'="([^\t\r\n]*)"', re.DOTALL)


def guarded(value: str) -> str:
    """The value as a cell that no spreadsheet runs; :func:`unguarded` reverses it. Numbers and phones stay
    unchanged.
    """
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def guarded_raw(cell: str) -> str:
    """A cell of an author's file for another file: guarded if a spreadsheet would run it, otherwise unchanged."""
    return cell if cell.startswith("'") or _AS_TEXT.fullmatch(cell) else guarded(cell)


def unguarded(cell: str) -> str:
    """The value of a cell: without the apostrophe of :func:`guarded`, and without ``="…"``, by which programs keep the
    zeros at the front of a number."""
    if cell.startswith("'") and _FORMULA.match(cell):
        return cell[1:]
    found = _AS_TEXT.fullmatch(cell.strip())
    return cell if found is None else found[1].replace('""', '"')
