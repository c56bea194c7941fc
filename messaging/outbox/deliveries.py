"""The rows of the outbox: what is delivered next, and what came of each try."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from messaging.common.database import Pool
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value
from messaging.outbox.events import Event, Outcome

__all__ = [
    "KEPT",
    "TRIES_FOR",
    "Delivery",
    "Undelivered",
    "give_up_old",
    "hold",
    "let_go",
    "note_failed",
    "note_taken",
    "receivers_to_serve",
    "retry_undelivered",
    "undelivered",
]

TRIES_FOR = timedelta(days=3)
"""How long an event is tried. Then it is listed as undelivered."""

KEPT = timedelta(days=30)
"""How long an undelivered event is kept."""

HELD_FOR = timedelta(seconds=40)
"""How long a process may deliver to a receiver without renewing that: longer than one try."""

PAGE = 50
"""Events that are read at a time."""

LONGEST_WAIT = timedelta(minutes=5)
"""The longest time between two tries at a receiver that takes nothing."""

LONGEST_SET_ASIDE = timedelta(hours=1)
"""The longest time between two tries of an event that was refused."""

STUCK = 5
"""After so many answers of the receiver to one event, others get their turn before it."""


class Delivery(NamedTuple):
    """An event that is to be delivered now."""

    row: int
    event: Event
    attempts: int


class Held(NamedTuple):
    """A receiver that this process may deliver to, with what is due."""

    name: str
    channel: str
    options: dict[str, Any]
    failures: int
    due: list[Delivery]


class Undelivered(Value):
    """An event that was given up."""

    id: str
    type: str
    happened_at: datetime
    attempts: int
    error: str | None
    given_up_at: datetime


# One process at a time delivers to a receiver.
HOLD_RECEIVER = """
update receivers
   set held_by = $2, held_until = clock_timestamp() + $3::interval
 where id = $1 and (held_by = $2 or held_until < clock_timestamp()) and next_try_at <= clock_timestamp()
returning name, channel, options, failures
"""

SELECT_DUE = """
select id, event_id, type, happened_at, data, attempts
  from outbox
 where receiver_id = $1 and given_up_at is null and next_try_at <= clock_timestamp()
 order by next_try_at, id
 limit $2
"""

SELECT_TO_SERVE = """
select r.id
  from receivers r
 where r.next_try_at <= clock_timestamp()
   and exists (select from outbox o
                where o.receiver_id = r.id and o.given_up_at is null and o.next_try_at <= clock_timestamp())
 order by r.id
"""

# What was set aside because the receiver took nothing is due at once when it takes something again, in its order.
NOTE_TAKEN = """
with taken as (delete from outbox where id = $2 returning receiver_id),
     back as (
    update outbox o set next_try_at = '-infinity'
      from receivers r
     where r.id = $1 and r.failures > 0 and o.receiver_id = $1 and o.id <> $2 and o.given_up_at is null
       and not o.refused and o.next_try_at > '-infinity'
)
update receivers
   set delivered = delivered + 1, delivered_at = clock_timestamp(), failures = 0, failing_since = null, error = null,
       next_try_at = '-infinity'
 where id = $1
"""

# $3: words; $4: refused; $5: answered; $6: how long the receiver waits; $7: how long the event waits.
NOTE_FAILED = """
with tried as (
    update outbox
       set attempts = attempts + case when $5 then 1 else 0 end, refused = $4, error = $3,
           next_try_at = case when $7::interval is null then next_try_at else clock_timestamp() + $7::interval end
     where id = $2
)
update receivers
   set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()), error = $3,
       next_try_at = clock_timestamp() + $6::interval
 where id = $1
"""

# An event is given up when it has been tried, or its receiver has taken nothing, for so long.
GIVE_UP_OLD = """
with given_up as (
    update outbox o
       set given_up_at = clock_timestamp(), error = coalesce(o.error, r.error)
      from receivers r
     where r.id = o.receiver_id and o.given_up_at is null and o.created_at < clock_timestamp() - $1::interval
       and r.failures > 0 and (o.error is not null or r.failing_since < clock_timestamp() - $1::interval)
    returning r.name, o.type, o.error
)
insert into alert_reports (kind, subject, detail)
select 'event_undelivered', name, type || coalesce(': ' || error, '') from given_up
"""

FORGET_OLD = """
delete from outbox o
 where o.given_up_at < clock_timestamp() - $1::interval
    or not exists (select from receivers where id = o.receiver_id)
"""

RETRY_UNDELIVERED = """
with again as (
    update outbox o
       set given_up_at = null, created_at = clock_timestamp(), next_try_at = '-infinity', attempts = 0, refused = false, error = null
      from receivers r
     where r.id = o.receiver_id and r.name = $1 and o.given_up_at is not null
    returning o.receiver_id
), at_once as (
    update receivers set next_try_at = '-infinity' where name = $1
)
select count(*) from again
"""

SELECT_UNDELIVERED = """
select o.event_id::text as id, o.type, o.happened_at, o.attempts, o.error, o.given_up_at
  from outbox o join receivers r on r.id = o.receiver_id
 where r.name = $1 and o.given_up_at is not null
 order by o.id
 limit $2
"""


async def receivers_to_serve(pool: Pool) -> list[int]:
    """The receivers that something is due for."""
    return [row["id"] for row in await pool.fetch(SELECT_TO_SERVE)]


async def hold(pool: Pool, receiver: int, process: str) -> Held | None:
    """Holds the receiver for this process for a minute, and reads what is due; None if another one holds it, or if it waits."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(HOLD_RECEIVER, receiver, process, HELD_FOR)
        if row is None:
            return None
        due = await connection.fetch(SELECT_DUE, receiver, PAGE)
    return Held(
        name=row["name"],
        channel=row["channel"],
        options=row["options"],
        failures=row["failures"],
        due=[
            Delivery(
                row=one["id"],
                event=Event(
                    id=one["event_id"],
                    type=one["type"],
                    happened_at=one["happened_at"],
                    data=one["data"],
                ),
                attempts=one["attempts"],
            )
            for one in due
        ],
    )


async def let_go(pool: Pool, receiver: int, process: str) -> None:
    """Lets another process deliver to the receiver at once."""
    await pool.execute(
        "update receivers set held_until = '-infinity' where id = $1 and held_by = $2", receiver, process
    )


async def note_taken(pool: Pool, receiver: int, delivery: Delivery) -> None:
    """The receiver has taken it."""
    await pool.execute(NOTE_TAKEN, receiver, delivery.row)


async def note_failed(
    pool: Pool, receiver: int, delivery: Delivery, outcome: Outcome, failures: int
) -> timedelta:
    """The receiver has not taken it, for the ``failures``-th time in a row; answers how long it is left alone now.

    What the receiver refuses for its own sake is set aside, and the next one has its turn at once, unless that goes on.
    Otherwise nothing is delivered meanwhile, so that the order stays; but an event that was answered five times is set
    aside, too, as it may be the only one that cannot be taken.
    """
    attempts = delivery.attempts + 1
    aside: timedelta | None = None
    if outcome.refused:
        wait = timedelta(0) if failures < 2 * STUCK else _doubled(failures - 2 * STUCK, LONGEST_WAIT)
        aside = _doubled(attempts + 4, LONGEST_SET_ASIDE)  # from half a minute on
    else:
        wait = _doubled(failures, LONGEST_WAIT)
        if outcome.answered and attempts >= STUCK:
            aside = LONGEST_WAIT
    if outcome.retry_after is not None:
        wait = max(wait, timedelta(seconds=outcome.retry_after))
    words = storable(outcome.text, LONGEST_REASON)
    await pool.execute(
        NOTE_FAILED, receiver, delivery.row, words, outcome.refused, outcome.answered, wait, aside
    )
    return wait


def _doubled(times: int, most: timedelta) -> timedelta:
    return min(timedelta(seconds=2 ** min(times, 20)), most)


async def give_up_old(pool: Pool) -> None:
    """Gives up what was tried for three days, and forgets what was given up a month ago."""
    await pool.execute(GIVE_UP_OLD, TRIES_FOR)
    await pool.execute(FORGET_OLD, KEPT)


async def retry_undelivered(pool: Pool, receiver: str) -> int:
    """Has everything that was given up for a receiver delivered after all; answers how much that is."""
    return int(await pool.fetchval(RETRY_UNDELIVERED, receiver))


async def undelivered(pool: Pool, receiver: str, limit: int) -> list[Undelivered]:
    """What was given up for a receiver, the oldest first."""
    return [
        Undelivered.model_validate(dict(row)) for row in await pool.fetch(SELECT_UNDELIVERED, receiver, limit)
    ]
