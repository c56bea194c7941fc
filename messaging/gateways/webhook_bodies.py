"""Parses webhook requests so that one malformed entry does not affect the others."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

from messaging.common.say_once import SayOnce
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.gateways.http import format_words
from messaging.gateways.webhook_events import InboundMessage, Receipt, moment_of_our_time

__all__ = [
    "inbound_message",
    "iso_moment",
    "items",
    "objects",
    "part",
    "pass_over",
    "phone_of",
    "read_json",
    "receipt",
    "texts_of",
    "words",
]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

DEEPEST = 50
"""Levels of nesting; those of gateways have ten."""
LONGEST_NUMBER = 20
"""Digits. Python refuses whole numbers of some thousand digits, and with them the whole document."""

_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")

_excerpt = Repr()
_excerpt.maxdict, _excerpt.maxstring, _excerpt.maxother = 8, 60, 60

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read_json(body: bytes) -> Any:
    """The JSON of a body; None, with a line in the log, if it is not JSON.

    Read as leniently as can be, since gateways send many receipts in one body: bytes that are no UTF-8 are replaced,
    numbers that are too long stay text, and what lies too deep is null.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        try:
            return _loads(text)
        except RecursionError:
            return _loads(_shallow(text))
    except (ValueError, RecursionError) as error:
        logger.warning("a webhook's body of %d bytes is passed over, it is not JSON: %s", len(body), error)
        return None


def receipt(gateway: str, **fields: Any) -> Receipt | None:
    """The receipt of these fields; None, with a line in the log, where they make none. ``gateway``: for people."""
    try:
        return Receipt(**fields)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False, include_input=False)[0]
        pass_over(gateway, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", fields)
        return None


def inbound_message(gateway: str, **fields: Any) -> InboundMessage | None:
    """The inbound message of these fields; None, with a line in the log, where they make none. What people wrote stands in
    no log.

    If the moment is missing or invalid, it is set to now, so that no STOP is lost.
    """
    try:
        return InboundMessage(**{**fields, "at": moment_of_our_time(fields["at"]) or datetime.now(UTC)})
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        identifier = format_words(_excerpt.repr(fields.get("gateway_message_id")))
        logger.warning(
            "an inbound message of %s is passed over: %s: %s: %s",
            *(gateway, where, problem["msg"], identifier),
        )
        return None


def phone_of(*names: Any) -> str | None:
    """The phone that the first of these names is, in the one form that leads have; None where none is a phone.

    Gateways write a phone with or without ``+``. Other names (Meta's user IDs, ``…@lid``) are not phones.
    """
    for name in names:
        if isinstance(name, str) and (digits := _PHONE.fullmatch(name)):
            return canonical_phone(f"+{digits[1]}")
    return None


def iso_moment(timestamp: Any) -> datetime | None:
    """A moment as RFC 3339 has it; None for anything else."""
    try:
        return datetime.fromisoformat(timestamp)
    except (TypeError, ValueError):
        return None


def objects(parent: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of the list of that name, in whatever the parent is."""
    yield from (child for child in items(parent, name) if isinstance(child, Mapping))


def items(parent: Any, name: str) -> list[Any]:
    """The list of that name; an empty one where there is none."""
    children = parent.get(name) if isinstance(parent, Mapping) else None
    return children if isinstance(children, list) else []


def part(parent: Any, name: str) -> Mapping[str, Any]:
    """The object of that name; an empty one where there is none."""
    child = parent.get(name) if isinstance(parent, Mapping) else None
    return child if isinstance(child, Mapping) else {}


def texts_of(group: Mapping[str, Any]) -> dict[str, str] | None:
    """The fields that are texts, such as those of a click on an advertisement; None if there are none."""
    return {name: text[:500] for name, text in group.items() if isinstance(text, str) and text} or None


def words(parent: Any, *names: str) -> str | None:
    """The first of these names that stands for a text; None where none does."""
    for name in names:
        text = parent.get(name) if isinstance(parent, Mapping) else None
        if isinstance(text, str) and text:
            return text
    return None


def pass_over(gateway: str, why: str, entry: Any) -> None:
    """Says that something is no receipt, though it should be one."""
    logger.warning(
        "a receipt of %s is passed over: %s: %s", gateway, why, format_words(_excerpt.repr(entry))[:300]
    )


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_NUMBER else digits


def _shallow(text: str) -> str:
    """The same JSON, with null in place of values that are nested too deeply."""
    kept, depth, begin, end = [], 0, 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == DEEPEST + 1:
                begin = token.start()
        elif token[0] in ("]", "}"):
            if depth == DEEPEST + 1:
                kept += [text[end:begin], "null"]
                end = token.end()
            depth -= 1
    return "".join((*kept, text[end:]))
