"""Makes any text storable. A text from outside may contain characters that PostgreSQL cannot store.

PostgreSQL has no NUL in a text (its manual, "Character Types"), and its UTF-8 has no halves of surrogate pairs. Every
connection replaces both in whatever is written (``runtime.database``), so that any answer of a gateway can be recorded.
Texts that go to Temporal or a log are cleaned where they come in.
"""

import hashlib
import json
import re
from typing import Any

__all__ = ["LONGEST_ID", "LONGEST_REASON", "storable", "storable_id", "storable_json"]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

LONGEST_REASON = 2000
"""Characters of a reason; nobody would read more."""

LONGEST_ID = 255
"""Bytes of an identifier; a row of an index holds some 2,700 (PostgreSQL's manual, "B-Tree Indexes"). Real ones have 100."""

_KEPT = 64
"""Characters that are kept of a longer one, so that people can recognise it."""

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
_NUL_IN_JSON = "\\u0000"


def storable(text: str, limit: int | None = None) -> str:
    """The text with U+FFFD for each NUL and each half of a surrogate pair; of ``limit`` characters at most."""
    if not text.isascii() or "\0" in text:
        text = _NOT_STORABLE.sub(REPLACEMENT, text)
    if limit is not None and len(text) > limit:
        return text[: limit - 1] + "…"
    return text


def storable_id(identifier: str) -> str:
    """An identifier from another program, in storable form. Equal ones stay equal, and different ones stay different.

    One that is too long or not storable becomes its beginning and a hash of the whole.
    """
    clean = storable(identifier)
    if clean == identifier and len(identifier) <= LONGEST_ID and len(identifier.encode()) <= LONGEST_ID:
        return identifier
    digest = hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()
    return f"{clean[:_KEPT]}#{digest}"


def storable_json(value: Any) -> str:
    """A value as JSON that PostgreSQL's jsonb takes."""
    written = json.dumps(value, ensure_ascii=False)
    if _NUL_IN_JSON in written:
        written = json.dumps(_cleaned(value), ensure_ascii=False)
    return storable(written)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return value
