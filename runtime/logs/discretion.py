"""Keeps phones, names and texts out of a log.

Our own lines name no person and quote no text, but they, workflow IDs, and errors of libraries contain phones, and
PostgreSQL's errors whole rows. Of each phone the last four digits stay, by which an operator who knows the phone
recognizes it.
"""

import re
from collections.abc import Iterator
from traceback import format_tb

import asyncpg
from pydantic import ValidationError

from messaging.common.errors import DrumbeatError
from messaging.gateways.base import GatewayError

__all__ = ["error_words", "mask", "mask_foreign", "traceback_words"]

LONGEST = 500
"""Characters of one error's text."""

OURS = (DrumbeatError, GatewayError)
"""Errors whose texts we write."""

# What looks like a phone and is none comes first, and stays: a UUID, another ID in hexadecimal, a moment, an IPv4 address.
_DIGITS = re.compile(
    r"(?P<other>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=\w*[a-f])[0-9a-f]{16,}\b"
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?(?!\d)"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b)"
    r"|(?P<plus>\+?)(?P<phone>\d(?:[ ().\u00a0-]{0,3}\d){6,})",
    re.IGNORECASE,
)
# The Cloud API's message IDs are Base64 with the phone in them.
_WAMID = re.compile(r"wamid\.[\w+/=-]{6,}")
# Texts and names that a library quotes.
_QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*+'(?!\w)|\"(?:[^\"\\]|\\.)*+\"")
# Lines that PostgreSQL adds to an error: they may contain the row, or the statement.
_ADDED = re.compile(r"^\s*(?:DETAIL|HINT|CONTEXT|QUERY|STATEMENT|LINE \d+)\b.*$", re.MULTILINE)


def mask(text: str) -> str:
    """The text with phones masked: ``+60123456789`` becomes ``+***6789``."""
    return _WAMID.sub(lambda found: f"wamid.***{found[0][-4:]}", _DIGITS.sub(_mask_phone, text))


def _mask_phone(found: re.Match[str]) -> str:
    if found["other"] is not None:
        return found[0]
    digits = re.sub(r"\D", "", found["phone"])
    return f"{found['plus']}***{digits[-4:]}"


def mask_foreign(text: str) -> str:
    """A text that a library has written: without what it quotes either."""
    return mask(_QUOTED.sub("'***'", _ADDED.sub("", text))).strip()


def error_words(error: BaseException) -> str:
    """What an error says, in one line, as far as it can be said without what concerns people."""
    match error:
        case ValidationError():
            problems = (
                f"{'.'.join(map(str, one['loc']))}: {one['type']}"
                for one in error.errors(include_url=False, include_input=False, include_context=False)
            )
            text = mask(f"{error.title}: {'; '.join(problems)}")
        case asyncpg.PostgresError():
            # Its names in double quotes are ours: tables, columns, constraints. But values have the same quotes.
            names = (error.constraint_name, error.table_name, error.column_name)
            about = ", ".join(name for name in names if name)
            text = f"{mask_foreign(str(error.args[0] if error.args else ''))} ({error.sqlstate}{about and f', {about}'})"
        case _ if isinstance(error, OURS):
            text = mask(str(error))
        case _:
            text = mask_foreign(str(error))
    return " ".join(text.split())[:LONGEST] or type(error).__name__


def traceback_words(error: BaseException) -> str:
    """A traceback of the error and of those that led to it: files, lines and functions, and what can be said of each."""
    return "\n".join(_chain(error, set()))


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _chain(earlier, seen)
        yield "which led to:" if error.__cause__ is not None else "while that was handled:"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(format_tb(error.__traceback__)).rstrip()
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    yield f"{name}: {error_words(error)}"
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in seen:
                yield from (f"  {line}" for part in _chain(one, seen) for line in part.splitlines())
