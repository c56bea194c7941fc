"""Finds text that only looks like a variable: other programs write ``{name}`` or ``[[name]]``; here it goes out
unchanged.
"""

import re
from typing import NamedTuple

from liquid.exceptions import LiquidError
from liquid.token import TOKEN_CONTENT

from messaging.texts.liquid_syntax import Raw, read_tokens

__all__ = ["Placeholder", "placeholders"]

# Each pair of signs, perhaps doubled; in full width, as some keyboards write them; not more than a name between.
_NAME = r"[\s\u200b]{0,3}(\w[\w .-]{0,60}?)[\s\u200b]{0,3}"
_BRACES = re.compile(rf"[$#]?[{{｛]\s?[{{｛]?{_NAME}[}}｝](?:\s?[}}｝])?")  # noqa: RUF001
_DOUBLE = re.compile(rf"\[\[{_NAME}\]\]|<<{_NAME}>>")
_SINGLE = re.compile(rf"\[{_NAME}\]|<{_NAME}>|%{_NAME}%|__(\w{{1,60}}?)__")


class Placeholder(NamedTuple):
    """A name between signs that are not Liquid's."""

    written: str
    name: str
    """As a variable is spelled: ``first_name`` for ``First Name``."""
    plain: bool
    """True if it may be meant literally, unless there is a variable of that name."""


def placeholders(template: str) -> list[Placeholder]:
    """The placeholders in the literal parts of a template; none if it cannot be parsed."""
    found: dict[str, Placeholder] = {}
    try:
        tokens = list(read_tokens(template))
    except LiquidError:
        return []
    for token in tokens:
        if token.kind != TOKEN_CONTENT or isinstance(token.value, Raw):
            continue
        text = token.value
        for pattern, plain in ((_BRACES, False), (_DOUBLE, False), (_SINGLE, True)):
            for match in pattern.finditer(text):
                inner = next(group for group in match.groups() if group)
                name = re.sub(r"\W+", "_", inner.lower()).strip("_")
                found.setdefault(match[0], Placeholder(match[0], name, plain))
            text = pattern.sub("", text)
    return list(found.values())
