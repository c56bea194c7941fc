"""The ledger after a restore: how one is found, the hold that follows, and which messages may have been sent since.

The rules stand in the database (messaging/migrations/20261201000201_restores.sql), and every claim asks it. docs/recovery.md says what
a restore means for each kind of state.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from messaging.common.database import Connection, Pool

__all__ = [
    "DOUBT",
    "START_CAMPAIGN",
    "AtHome",
    "Restore",
    "campaign_names",
    "confirm_restore",
    "count_may_have_been_sent",
    "doubt_messages",
    "ensure_home",
    "find_restore",
    "find_restored",
    "hold_of_restore",
    "next_mark",
    "note_restore",
    "note_settled",
    "settle_message",
    "started_campaigns",
    "statuses_of",
]

DOUBT = "the ledger was restored to an earlier moment, and this may have been sent since"
"""The reason of messages in doubt."""

SELECT_OPEN = """
select id, how, restored_to, found_at, settled_at
  from restores
 where confirmed_at is null
"""

NEXT_MARK = """
insert into ledger_mark as m (mark) values (1)
    on conflict (one) do update set mark = m.mark + 1, noted_at = clock_timestamp()
returning mark
"""

RAISE_MARK = """
insert into ledger_mark as m (mark) values ($1 + 1)
    on conflict (one) do update set mark = greatest(m.mark, $1) + 1, noted_at = clock_timestamp()
"""

# $1: when the restore was found: nothing has been sent since. Tests that are lost count nowhere.
MAY_HAVE_BEEN_SENT = """
  from broadcast_messages m
 where is_unsettled(m.status) and (m.due_at <= $1 or m.status = 'processing' or awaits_window(m))
"""

COUNT_DOUBTFUL = f"select count(*) {MAY_HAVE_BEEN_SENT}"

# $2: why; $3: these only, or null for all.
DOUBT_MESSAGES = f"""
with doubtful as (
    select m.id {MAY_HAVE_BEEN_SENT} and ($3::uuid[] is null or m.id = any ($3) or m.status = 'processing') order by m.id for no key update
)
update broadcast_messages m
   set status = 'unconfirmed', reason = $2, slot_at = null, waits_for = null,
       updated_at = clock_timestamp()
  from doubtful
 where m.id = doubtful.id and is_unsettled(m.status)
returning m.id
"""  # noqa: S608 - of this module

# Campaigns without an audience that may have started: by their time, which is earliest on Kiritimati; or by their workflow.
SELECT_STARTED_CAMPAIGNS = """
select c.id, c.name, c.status
  from campaigns c
 where c.frozen_at is null and c.ended_at is null
   and (c.name = any ($2)
        or $3 and c.status <> 'draft'
           and (c.start_now or c.scheduled_at is null
                or c.scheduled_at at time zone case c.time_zone when 'recipient' then 'Pacific/Kiritimati' else c.time_zone end <= $1))
 order by c.id
"""

# A draft that its workflow has started, or one that was paused before its start, is started as it was.
START_CAMPAIGN = """
update campaigns
   set status = 'scheduled', start_now = true, started_at = coalesce(started_at, clock_timestamp()), updated_at = clock_timestamp()
 where id = $1 and frozen_at is null and ended_at is null
"""

SETTLE = """
insert into broadcast_messages as m
       (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status, sent_at, accepted_at,
        claimed_at, begun_at, reason)
select $1, t.id, c.id, c.lead_id, c.phone, c.device_id, $4::timestamptz, $5::text, case when $5 = 'sent' then $4::timestamptz end,
       case when $5 = 'sent' then $4::timestamptz end, $4::timestamptz, $4::timestamptz, $6
  from sequence_contacts c, sequence_steps t
 where c.id = $2 and t.id = $3 and t.sequence_id = c.sequence_id
    on conflict (id) do update
   set status = excluded.status, sent_at = excluded.sent_at, accepted_at = excluded.accepted_at, slot_at = null,
       waits_for = null, begun_at = coalesce(m.begun_at, excluded.begun_at), reason = excluded.reason,
       updated_at = clock_timestamp()
 where is_unsettled(m.status)
returning true
"""

SETTLE_STORED = """
update broadcast_messages m
   set status = $2::text, sent_at = case when $2 = 'sent' then $3::timestamptz end,
       accepted_at = case when $2 = 'sent' then $3::timestamptz end, slot_at = null, waits_for = null, reason = $4,
       updated_at = clock_timestamp()
 where id = $1 and is_unsettled(status)
returning true
"""


class AtHome(NamedTuple):
    """What the ledger knows of itself: ``mark`` counts up (None: never noted), and ``moved`` is true if it was restored."""

    mark: int | None
    moved: bool


class Restore(NamedTuple):
    """A restore that is not confirmed. ``restored_to``: the last moment that the ledger knows of, if it knows one.
    ``settled_at``: when what may have been sent was marked.
    """

    id: int
    how: str
    restored_to: datetime | None
    found_at: datetime
    settled_at: datetime | None


async def find_restored(pool: Pool) -> AtHome:
    """Reads whether the ledger is another than the one that was noted, and how far it is."""
    row = await pool.fetchrow(
        "select (select mark from ledger_mark) as mark, not ledger_is_at_home() as moved"
    )
    assert row is not None
    return AtHome(row["mark"], row["moved"])


async def hold_of_restore(pool: Pool) -> str | None:
    """Why everything is paused after a restore, for people to read; None if it is not."""
    held: str | None = await pool.fetchval("select hold_of_restore()")
    return held


async def ensure_home(pool: Pool) -> None:
    """Notes where the ledger is, if that was never noted."""
    await pool.execute("select note_ledger_home() where not exists (select from ledger_home)")


async def next_mark(pool: Pool) -> int:
    """Counts the ledger's mark up; answers the new one."""
    mark: int = await pool.fetchval(NEXT_MARK)
    return mark


async def note_restore(connection: Connection | Pool, how: str, restored_to: datetime | None = None) -> bool:
    """Puts the hold of a restore on everything; False if it was there."""
    news: bool = await connection.fetchval("select note_restore($1, $2)", how, restored_to)
    return news


async def find_restore(connection: Connection | Pool) -> Restore | None:
    """The restore that is not confirmed, if there is one."""
    row = await connection.fetchrow(SELECT_OPEN)
    return None if row is None else Restore(**row)


async def confirm_restore(connection: Connection, mark: int) -> bool:
    """Ends the hold, and notes where the ledger is now; False if there was none. Not within a transaction.

    ``mark``: the highest that Temporal has noted; the ledger counts on from there.
    """
    async with connection.transaction():
        await connection.execute("select note_ledger_home()")
        await connection.execute(RAISE_MARK, mark)
        return bool(
            await connection.fetchval(
                "update restores set confirmed_at = clock_timestamp() where confirmed_at is null returning true"
            )
        )


async def count_may_have_been_sent(connection: Connection | Pool, restore: Restore) -> int:
    """How many messages whose rows wait may have been sent before the restore was found."""
    count: int = await connection.fetchval(COUNT_DOUBTFUL, restore.found_at)
    return count


async def doubt_messages(
    connection: Connection | Pool, restore: Restore, only: list[UUID] | None = None
) -> list[UUID]:
    """Marks the messages whose rows wait, and that may have been sent, as unconfirmed; answers their IDs.

    ``only``: no others than these.
    """
    return [row["id"] for row in await connection.fetch(DOUBT_MESSAGES, restore.found_at, DOUBT, only)]


async def started_campaigns(
    connection: Connection | Pool, restore: Restore, names: list[str], *, by_time: bool
) -> dict[int, str]:
    """Campaigns, by ID, that have no audience and may have started before the restore was found.

    ``names``: those that Temporal knows to have started; ``by_time``: also those whose time had come.
    """
    rows = await connection.fetch(SELECT_STARTED_CAMPAIGNS, restore.found_at, names, by_time)
    return {row["id"]: row["name"] for row in rows}


async def settle_message(
    connection: Connection | Pool,
    message_id: UUID,
    status: str,
    at: datetime,
    *,
    enrollment: int | None = None,
    step: int | None = None,
    reason: str | None = None,
) -> bool:
    """Gives a message the status that Temporal's history has of it; False if the ledger has an outcome already.

    The row of a step's message (``enrollment``, ``step``) is created if it is gone.
    """
    if step is not None:
        return bool(await connection.fetchval(SETTLE, message_id, enrollment, step, at, status, reason))
    return bool(await connection.fetchval(SETTLE_STORED, message_id, status, at, reason))


async def note_settled(pool: Pool, restore: Restore, at: datetime) -> None:
    """Notes that what may have been sent is marked."""
    await pool.execute("update restores set settled_at = $2 where id = $1", restore.id, at)


async def statuses_of(pool: Pool, message_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The statuses of these messages, as far as the ledger has them."""
    rows = await pool.fetch(
        "select id, status from broadcast_messages where id = any ($1)", list(message_ids)
    )
    return {row["id"]: row["status"] for row in rows}


async def campaign_names(pool: Pool) -> set[str]:
    """The campaigns that the ledger has."""
    return {row["name"] for row in await pool.fetch("select name from campaigns")}
