"""Who did what is so now: who paused a thing, stopped a contact, opted a phone out, and when."""

from collections.abc import Collection
from datetime import UTC, datetime, tzinfo
from typing import Literal

from messaging.common.database import Connection, Pool
from messaging.common.values import Value
from messaging.times.local_time import format_moment, format_wall

__all__ = ["By", "by_whom", "latest_of_contact", "opted_out_by", "paused_by"]

Thing = Literal["sequence", "campaign", "device"]


class By(Value):
    """Who did it, how, and when."""

    actor: str
    via: str
    at: datetime

    @property
    def words(self) -> str:
        """``by anna``; empty where it is not known."""
        match self.via:
            case "command line":
                return f"by {self.actor}"
            case "service":
                return f"by the service {self.actor}"
            case "web ui":
                return f"by {self.actor} in the Web UI"
            case "reply":
                return "by a reply" if self.actor.startswith("+") else f"by somebody on {self.actor}"
            case "itself":
                return "by Drumbeat itself"
            case _:
                return ""


# {thing} is the column. $1: the names.
SELECT_PAUSES = """
select n.name, e.actor, e.via, e.at
  from unnest($1::text[]) n (name)
 cross join lateral (select actor, via, at
                       from events
                      where phone is null and {thing} = n.name
                        and kind in ('{thing}.paused', '{thing}.held', '{thing}.parked')
                      order by id desc
                      limit 1) e
"""

SELECT_OPT_OUTS = """
select distinct on (data ->> 'source') data ->> 'source' as source, actor, via, at
  from events
 where phone = any (former_phones($1)) and kind = 'opt_out.added'
 order by data ->> 'source', id desc
"""


SELECT_OF_CONTACT = """
select actor, via, at
  from events
 where phone = any (former_phones($1)) and sequence = $2 and kind = $3
 order by id desc
 limit 1
"""


async def paused_by(connection: Connection | Pool, thing: Thing, names: Collection[str]) -> dict[str, By]:
    """Who paused each of these last, which are paused now; without those of which that is not known."""
    if not names:
        return {}
    rows = await connection.fetch(SELECT_PAUSES.format(thing=thing), list(names))
    return {row["name"]: By(actor=row["actor"], via=row["via"], at=row["at"]) for row in rows}


async def opted_out_by(connection: Connection | Pool, phone: str) -> dict[str, By]:
    """Who opted out the owner of the phone last, by source."""
    rows = await connection.fetch(SELECT_OPT_OUTS, phone)
    return {row["source"]: By(actor=row["actor"], via=row["via"], at=row["at"]) for row in rows}


async def latest_of_contact(connection: Connection | Pool, phone: str, sequence: str, kind: str) -> By | None:
    """Who did this last with the contact: of that kind of event. None if that is not known."""
    row = await connection.fetchrow(SELECT_OF_CONTACT, phone, sequence, kind)
    return By(actor=row["actor"], via=row["via"], at=row["at"]) if row is not None else None


def by_whom(by: By | None, zone: tzinfo = UTC, *, zone_is_named: bool = False) -> str:
    """`` (by anna on 2026-11-30 08:00:05 UTC)``; empty where it is not known. ``zone_is_named``: elsewhere."""
    if by is None:
        return ""
    at = format_wall(by.at, zone) if zone_is_named else format_moment(by.at, zone)
    return f" ({by.words} on {at})".replace("( ", "(")
