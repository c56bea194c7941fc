"""Private mode: what Temporal gets to see carries no phone, name or text.

The keys come from a file (DRUMBEAT_PRIVATE_KEYS). One line is ``pseudonyms KEY``: from it come the names under which Temporal
knows people, so it stays the same for ever. One or more lines are ``payloads ID KEY``: the first of these encrypts, and all
decrypt. The mode is of the whole process, and does not change while it runs.

A name is an HMAC-SHA256 of the phone (RFC 2104). For each use there is a key of its own, which is derived from that of the
file, so a name of one use says nothing about that of another.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from messaging.common.errors import InvalidInput
from messaging.common.phones import require_e164

__all__ = [
    "SETTING",
    "Keys",
    "alias_of",
    "derived_key",
    "hidden_id",
    "is_alias",
    "is_on",
    "keys_in_use",
    "new_keys",
    "parse_keys",
    "pseudonym",
    "use_keys",
]

SETTING = "DRUMBEAT_PRIVATE_KEYS"

SIZE = 32
"""Bytes of a key, for HMAC-SHA256 and for AES-256."""

KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

ALIAS = re.compile(r"p-[a-z2-7]{32}")

DOMAIN = b"drumbeat/1/"


class Keys(NamedTuple):
    """What the file holds."""

    pseudonyms: bytes
    payloads: tuple[tuple[str, bytes], ...]
    """IDs and keys; the first encrypts."""

    def derived(self, purpose: str) -> bytes:
        """The key of one use, 32 bytes; it stays the same as long as ``pseudonyms`` does."""
        return hmac.digest(self.pseudonyms, DOMAIN + purpose.encode(), "sha256")

    def check_values(self) -> dict[str, str]:
        """What tells whether another process has the same keys, and says nothing about them: by ``pseudonyms`` or the ID."""
        values = {"pseudonyms": self.derived("check").hex()[:32]}
        for name, key in self.payloads:
            values[f"payloads {name}"] = hmac.digest(key, DOMAIN + b"check", "sha256").hex()[:32]
        return values


_keys: Keys | None = None


def use_keys(keys: Keys | None) -> None:
    """Turns private mode on for this process, or off: before anything is sent to Temporal."""
    global _keys
    _keys = keys
    _alias.cache_clear()


def keys_in_use() -> Keys | None:
    """The keys; None if the mode is off."""
    return _keys


def is_on() -> bool:
    """Whether this process is in private mode."""
    return _keys is not None


def derived_key(purpose: str) -> bytes | None:
    """The key of one use, e.g. ``tombstones``, 32 bytes; None if the mode is off."""
    return None if _keys is None else _keys.derived(purpose)


def pseudonym(phone: str, purpose: str = "temporal") -> str:
    """HMAC-SHA256 of the phone (E.164), with the key of this use: ``p-`` and 32 small letters and digits (160 bits).

    Raises InvalidInput if the mode is off.
    """
    if _keys is None:
        raise InvalidInput(f"there are no keys: set {SETTING}")
    return _name(_keys.derived(purpose), require_e164(phone))


def alias_of(phone: str) -> str:
    """The name of this phone in Temporal: its pseudonym in private mode, or else the phone."""
    return phone if _keys is None else _alias(phone)


def is_alias(word: str) -> bool:
    """Whether the word is a pseudonym."""
    return ALIAS.fullmatch(word) is not None


def hidden_id(workflow_id: str) -> str:
    """The ID under which a workflow begins: in private mode, without the phone, and without a message's ID, which is
    computed from the phone by a function that anybody can compute.
    """
    if _keys is None:
        return workflow_id
    *parts, last = workflow_id.split(":")
    if last.startswith("+") and len(parts) == 2:
        return ":".join((*parts, _alias(last)))
    if parts == ["message"] and _is_uuid(last):
        return f"message:{_name(_keys.derived('messages'), last)}"
    return workflow_id


@lru_cache(maxsize=4096)
def _alias(phone: str) -> str:
    return pseudonym(phone)


def _name(key: bytes, text: str) -> str:
    digest = hmac.digest(key, text.encode(), "sha256")
    return f"p-{base64.b32encode(digest[:20]).decode().lower()}"


def _is_uuid(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True


def new_keys(key_id: str) -> str:
    """The lines of a file with new keys. Raises InvalidInput for an ID that is none."""
    _check_id(key_id, "the ID")
    pseudonyms, payloads = (base64.b64encode(secrets.token_bytes(SIZE)).decode() for _ in range(2))
    return f"pseudonyms {pseudonyms}\npayloads {key_id} {payloads}\n"


def parse_keys(text: str) -> Keys:
    """Reads the lines of a file. Raises InvalidInput, which names the line and no key."""
    pseudonyms: bytes | None = None
    payloads: dict[str, bytes] = {}
    for number, line in _lines(text):
        match line.split():
            case ["pseudonyms", key]:
                if pseudonyms is not None:
                    raise InvalidInput(f"line {number}: there is a second key for pseudonyms: keep the first")
                pseudonyms = _key(key, number)
            case ["payloads", name, key]:
                _check_id(name, f"line {number}: the ID")
                if name in payloads:
                    raise InvalidInput(f"line {number}: there are two keys with the ID {name}")
                payloads[name] = _key(key, number)
            case _:
                raise InvalidInput(f"line {number} must be 'pseudonyms KEY' or 'payloads ID KEY'")
    if pseudonyms is None:
        raise InvalidInput("it has no line 'pseudonyms KEY'")
    if not payloads:
        raise InvalidInput("it has no line 'payloads ID KEY'")
    if len({pseudonyms, *payloads.values()}) <= len(payloads):
        raise InvalidInput("it has the same key twice")
    return Keys(pseudonyms, tuple(payloads.items()))


def _lines(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _check_id(name: str, what: str) -> None:
    if not KEY_ID.fullmatch(name):
        raise InvalidInput(f"{what} of a key must be 1 to 63 letters, digits, ., - or _")


def _key(word: str, number: int) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != SIZE:
        raise InvalidInput(
            f"line {number}: a key is {SIZE} bytes in base64, as 'openssl rand -base64 32' prints them"
        )
    return key
