"""The receivers: who gets which events, and how it goes with them."""

from datetime import datetime
from typing import Literal

from messaging.common.counts import count_of
from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.common.words import validate_name
from messaging.outbox.options import Options, read_options
from messaging.times.local_time import format_moment

__all__ = [
    "Channel",
    "Receiver",
    "add_receiver",
    "attention_of_receivers",
    "list_receivers",
    "options_of",
    "remove_receiver",
]

Channel = Literal["webhook", "email"]


class Receiver(Value):
    """One receiver. ``waiting``: events that it is still to get; ``undelivered``: those that were given up."""

    name: str
    channel: Channel
    address: str
    types: tuple[str, ...]
    delivered: int
    delivered_at: datetime | None
    waiting: int
    undelivered: int
    failing_since: datetime | None
    error: str | None
    next_try_at: datetime | None
    tested_at: datetime | None = None
    """When it was last tested. A test is no event, and not counted as delivered."""
    test_taken: bool | None = None
    test_answer: str | None = None


ADD_RECEIVER = """
insert into receivers (name, channel, options, types)
values ($1, $2, $3, $4)
    on conflict (name) do update
   set channel = excluded.channel, options = excluded.options, types = excluded.types, next_try_at = '-infinity',
       tested_at = null, test_taken = null, test_answer = null
returning xmax = 0 as new
"""

SELECT_RECEIVERS = """
select r.name, r.channel, r.options, r.types, r.delivered, r.delivered_at, r.failing_since, r.error,
       r.tested_at, r.test_taken, r.test_answer,
       nullif(r.next_try_at, '-infinity') as next_try_at,
       (select count(*) from outbox where receiver_id = r.id and given_up_at is null) as waiting,
       (select count(*) from outbox where receiver_id = r.id and given_up_at is not null) as undelivered
  from receivers r
 order by r.name
"""

# Events that are being written for it at this moment are removed later.
REMOVE_RECEIVER = """
with gone as (delete from receivers where name = $1 returning id),
     dropped as (delete from outbox o using gone where o.receiver_id = gone.id returning true)
select (select count(*) from gone) as removed, (select count(*) from dropped) as dropped
"""


async def add_receiver(
    connection: Connection | Pool, name: str, channel: Channel, options: Options, types: tuple[str, ...]
) -> bool:
    """Adds a receiver, or changes the one of that name: it then gets what waits by its new address. True if it is new.

    Raises InvalidInput for a name that cannot be used.
    """
    validate_name(name)
    new: bool = await connection.fetchval(
        ADD_RECEIVER, name, channel, options.model_dump(mode="json", exclude_none=True), list(types)
    )
    return new


async def list_receivers(connection: Connection | Pool) -> list[Receiver]:
    """All receivers, by name."""
    receivers = []
    for row in await connection.fetch(SELECT_RECEIVERS):
        fields = dict(row)
        try:
            address = read_options(row["channel"], fields.pop("options")).address
        except InvalidInput:  # the deliveries say why
            address = "(cannot be used: add it again)"
        receivers.append(Receiver.model_validate({**fields, "address": address}))
    return receivers


async def remove_receiver(connection: Connection | Pool, name: str) -> int:
    """Removes a receiver; answers how many events were still to be delivered to it. Raises NotFound."""
    row = await connection.fetchrow(REMOVE_RECEIVER, name)
    assert row is not None
    if not row["removed"]:
        await _not_found(connection, name)
    return int(row["dropped"])


async def options_of(connection: Connection | Pool, name: str) -> tuple[Channel, Options]:
    """The channel and options of a receiver. Raises NotFound."""
    row = await connection.fetchrow("select channel, options from receivers where name = $1", name)
    if row is None:
        await _not_found(connection, name)
    assert row is not None
    return row["channel"], read_options(row["channel"], row["options"])


async def _not_found(connection: Connection | Pool, name: str) -> None:
    names = [row["name"] for row in await connection.fetch("select name from receivers order by name")]
    hint = did_you_mean(name, names) or "there is none yet: add one with 'alert add'"
    raise NotFound(f"no receiver is named {name!r}; {hint}")


async def attention_of_receivers(connection: Connection | Pool) -> list[str]:
    """A line for each receiver that needs an operator."""
    lines = []
    for one in await list_receivers(connection):
        if one.failing_since is not None:
            waiting = count_of(one.waiting, "event waits", "events wait")
            lines.append(
                f"nothing has been delivered to {one.name} since {format_moment(one.failing_since)}: {one.error};"
                f" {waiting}, 'alert test {one.name}' tries it"
            )
        if one.undelivered:
            lines.append(
                f"{count_of(one.undelivered, 'event was', 'events were')} given up for {one.name}:"
                f" 'alert undelivered {one.name}' lists {'it' if one.undelivered == 1 else 'them'},"
                f" 'alert retry {one.name}' tries again"
            )
    return lines
