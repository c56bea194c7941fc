"""Reads a phone that somebody asks about: also one that no numbering plan has, if it has written to us or is a lead."""

import re

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidPhone
from messaging.common.phones import parse_phone
from messaging.common.whatsapp_numbers import canonical_phone

__all__ = ["find_phone"]

# Numbering plans grow, and the library learns of it later. A gateway's word for a number counts.
IS_KNOWN = """
select exists (select from leads where phone = $1) or exists (select from inbound_messages where phone = $1)
       or exists (select from suppressions where phone = $1)
"""

_FULL = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")
_BETWEEN = re.compile(r"[\s().\-/]+")


async def find_phone(connection: Connection | Pool, text: str, default_region: str | None) -> str:
    """As :func:`messaging.common.phones.parse_phone`. A number that cannot exist is taken as well, written with its
    country code, if a lead has it, a message came from it, or it has opted out.
    """
    try:
        return parse_phone(text, default_region)
    except InvalidPhone:
        full = _FULL.fullmatch(_BETWEEN.sub("", text))
        if full is None:
            raise
        phone = canonical_phone(f"+{full[1]}")
        if not await connection.fetchval(IS_KNOWN, phone):
            raise
        return phone
