"""The Liquid filters for texts of messages, each with limits on input, output and time.

They are python-liquid's, with limits: no value is longer than a message, numbers stay small, and a searched text is
short. ``split`` makes a list that is also a text, so that it costs no more than one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, overload

from liquid import Environment
from liquid.exceptions import LiquidError
from liquid.undefined import Undefined

__all__ = ["FILTERS", "MAX_VALUE", "TooMuch"]

MAX_VALUE = 4096
"""Characters of a value, given or made: as many as of a text message."""

_MAX_SEARCHED = 100
"""Characters of what is looked for: to find a long text in another may take the product of their lengths."""

_MAX_NUMBER = 10**15

_MAX_DECIMALS = 10

_NUMBER = re.compile(r"\s*-?[0-9]{1,15}(?:\.[0-9]{1,15})?\s*")

_NUMERIC = (
    *("plus", "minus", "times", "divided_by", "modulo", "round"),
    *("ceil", "floor", "abs", "at_least", "at_most"),
)

_SEARCHING = ("split", "remove", "remove_first", "replace", "replace_first")

_OTHERS = (
    *(
        "default",
        "slice",
        "append",
        "prepend",
        "upcase",
        "downcase",
        "capitalize",
        "truncate",
        "truncatewords",
    ),
    *("strip", "lstrip", "rstrip", "strip_newlines", "squish", "url_encode"),
)

_OF_LISTS = ("default", "slice")


class TooMuch(LiquidError):
    """A template exceeds a limit."""


class _Parts(Sequence[str]):
    """The result of ``split``: its items, and the text that is output."""

    def __init__(self, items: Sequence[str]) -> None:
        self._items = items
        self._text = "".join(items)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __str__(self) -> str:
        return self._text


def _join(value: object, separator: object = " ") -> str:
    items = list(value) if isinstance(value, _Parts) else [_text("join", value)]
    between = _text("join", separator)
    if len(between) * len(items) > MAX_VALUE:
        raise _too_long("join")
    return between.join(items)


def _first(value: object) -> object:
    return value[0] if isinstance(value, _Parts) and value else None


def _last(value: object) -> object:
    return value[-1] if isinstance(value, _Parts) and value else None


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | _Parts) else 0


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with limits on what comes in and out."""

    @wraps(function)
    def bounded(value: object, *args: object, **kwargs: object) -> Any:
        if name in _NUMERIC:
            numbers = [_number(name, given) for given in (value, *args)]
            if name == "round" and args:
                numbers[1] = min(int(numbers[1]), _MAX_DECIMALS)
            return _number(name, function(*numbers, **kwargs))
        if isinstance(value, _Parts):
            value = list(value) if name in _OF_LISTS else str(value)
        given = _searched(name, value, *args) if name in _SEARCHING else [value, *args]
        made = function(*given, **kwargs)
        return _Parts(made) if isinstance(made, list) else _short(name, made)

    return bounded


def _searched(name: str, value: object, *args: object) -> list[object]:
    """A text, what is looked for in it and what replaces that, all of them short enough."""
    texts = [_text(name, given) for given in (value, *args)]
    if len(texts) > 1 and len(texts[1]) > _MAX_SEARCHED:
        raise TooMuch(f"{name!r} looks for a text of more than {_MAX_SEARCHED} characters", token=None)
    if name == "replace" and len(texts) > 2 and texts[0].count(texts[1]) * len(texts[2]) > MAX_VALUE:
        raise _too_long(name)
    return [*texts]


def _text(name: str, value: object) -> str:
    text = "" if value is None or isinstance(value, Undefined) else str(value)
    _short(name, text)
    return text


def _short(name: str, value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_VALUE:
        raise _too_long(name)
    return value


def _too_long(name: str) -> TooMuch:
    return TooMuch(f"{name!r} makes a text of more than {MAX_VALUE:,} characters", token=None)


def _number(name: str, value: object) -> int | float:
    """A value as a number in Liquid: what is no number counts as 0."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if not isinstance(value, int | float):
        return 0
    if not -_MAX_NUMBER < value < _MAX_NUMBER:
        raise TooMuch(f"{name!r} works on a number of more than 15 digits", token=None)
    return value


def _filters() -> Mapping[str, Callable[..., Any]]:
    known = Environment().filters
    ours: dict[str, Callable[..., Any]] = {"join": _join, "first": _first, "last": _last, "size": _size}
    return {
        **{name: _bounded(name, known[name]) for name in (*_NUMERIC, *_SEARCHING, *_OTHERS)},
        **ours,
    }


FILTERS = _filters()
"""Each by its name in a template."""
