"""Reading what a webhook's request bears, so that one receipt that makes no sense takes nothing else with it."""

import json
import logging
import re
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

from messaging.common.say_once import SayOnce
from messaging.gateways.base import Receipt
from messaging.gateways.http import one_line

__all__ = ["pass_over", "read_json", "receipt"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

DEEPEST = 50
"""Levels of lists and objects in one another; the gateways' own have ten."""
LONGEST_NUMBER = 20
"""Digits. Python refuses to read whole numbers of some thousands, and all that stands beside them."""

_excerpt = Repr()
_excerpt.maxdict, _excerpt.maxstring, _excerpt.maxother = 8, 60, 60

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read_json(body: bytes) -> Any:
    """The JSON of a body; None, with a line in the log, where it is none.

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


def pass_over(gateway: str, why: str, told: Any) -> None:
    """Says that something is no receipt, though it should be one."""
    logger.warning(
        "a receipt of %s is passed over: %s: %s", gateway, why, one_line(_excerpt.repr(told))[:300]
    )


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_NUMBER else digits


def _shallow(text: str) -> str:
    """The same JSON, with null in place of what lies too deep."""
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
