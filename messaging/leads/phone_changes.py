"""Phones that their owners have left for another one. How that comes about: :mod:`messaging.replies.numbers`."""

from datetime import datetime

from messaging.common.database import Connection, Pool
from messaging.common.values import Value

__all__ = ["FormerPhone", "former_phones", "hold_phone", "present_phone"]

SELECT_FORMER = """
select c.old_phone as phone, c.changed_at as until
  from unnest(former_phones($1)) as former (phone)
  join phone_changes c on c.old_phone = former.phone
 where c.old_phone <> $1
 order by c.changed_at, c.old_phone
"""


class FormerPhone(Value):
    """A phone that somebody had until that moment."""

    phone: str
    until: datetime


async def present_phone(connection: Connection | Pool, phone: str) -> str:
    """The phone that the owner of this one (E.164) has now: itself, unless they have changed it."""
    present: str = await connection.fetchval("select present_phone($1)", phone)
    return present


async def hold_phone(connection: Connection, phone: str) -> str:
    """The same; it does not change until the caller's transaction ends."""
    present: str = await connection.fetchval("select hold_phone($1)", phone)
    return present


async def former_phones(connection: Connection | Pool, phone: str) -> list[FormerPhone]:
    """The phones that the owner of this one had before, the oldest first."""
    return [FormerPhone.model_validate(dict(row)) for row in await connection.fetch(SELECT_FORMER, phone)]
