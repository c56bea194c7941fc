"""Opt-outs: phones that get nothing more, or no marketing, from any sequence, campaign or device. Phones are E.164."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict
from messaging.common.transactions import all_or_nothing
from messaging.leads.forgotten import find_tombstone
from messaging.leads.phone_changes import hold_phone

__all__ = [
    "OptOutCategory",
    "OptOutSource",
    "RecordedOptOut",
    "RecordedOptOuts",
    "Withdrawn",
    "gets_no",
    "has_lead",
    "note_signalled",
    "opt_out_owner",
    "record_opt_out",
    "record_opt_outs",
    "suppress_waiting",
    "suppressed",
    "withdraw",
]

TOGETHER = 200
"""Opt-outs whose workflows are signalled at a time; the next sweep, a minute later, finds the rest."""


MANY = 500
"""After more new opt-outs at once, the table is analyzed. PostgreSQL plans by what the table held before: it would read
all of it again for each message.
"""

OptOutSource = Literal["operator", "reply", "preference"]
"""Who opted out: an operator; the recipient, by a keyword; the recipient, in WhatsApp's settings. Each counts by
itself.
"""

OptOutCategory = Literal["marketing", "all"]
"""From what: only from messages of sequences and campaigns of the category ``marketing``, or from everything."""

# Of one source, an opt-out from everything takes the place of one from marketing, and not the other way round.
INSERT_SUPPRESSIONS = """
insert into suppressions as s (phone, source, category, reason, inbound_message_id)
select phone, $2, $3, $4, $5 from unnest($1::text[]) phone order by phone
    on conflict (phone, source) do update
   set category = excluded.category, reason = excluded.reason, created_at = excluded.created_at, signalled_at = null
 where s.category = 'marketing' and excluded.category = 'all'
"""

# What holds for the phone: null, or from what it has opted out.
SELECT_CATEGORY = "select min(category) from suppressions where phone = $1"

DELETE_SUPPRESSIONS = """
delete from suppressions
 where phone = $1 and ($2::text is null or category = $2)
returning source
"""

END_ENROLLMENTS = """
update sequence_contacts c
   set status = 'opted_out', reason = o.reason, next_step_id = null, next_due_at = null,
       ended_at = clock_timestamp(), plan_changed_at = clock_timestamp()
  from (select e.id, opted_out_of(min(u.category)) as reason
          from sequence_contacts e
          join sequences s on s.id = e.sequence_id
          join suppressions u on u.phone = e.phone and u.category in ('all', s.category)
         where e.phone = any ($1) and e.status = 'active'
         group by e.id) o
 where c.id = o.id and c.status = 'active'
returning c.id
"""

FORGET_WANTED = """
delete from wanted_enrollments w
 using sequences s
 where w.phone = any ($1) and s.id = w.sequence_id
   and exists (select from suppressions o where o.phone = w.phone and o.category in ('all', s.category))
"""

# waits: the message is one of a campaign or was sent again, and its workflow waits for a slot or for a hold to end.
SUPPRESS_WAITING = """
update broadcast_messages m
   set status = u.status, reason = u.reason, slot_at = null, updated_at = clock_timestamp()
  from (select w.id, (unwanted(w)).*, w.status = 'queued' or w.reason is not null as begun
          from broadcast_messages w
         where w.recipient_phone = any ($1) and is_waiting(w.status)
           and exists (select from suppressions where phone = w.recipient_phone)) u
 where m.id = u.id and u.status = 'suppressed' and is_waiting(m.status)
returning m.id, u.begun and (m.campaign_id is not null or m.resends > 0) as waits
"""

# The messages of campaigns, and those that were sent again: they have workflows of their own.
SELECT_SUPPRESSED = """
select case when k.id is not null then 'campaign:' || k.name || ':' || coalesce(m.key_phone, m.recipient_phone)
            else 'message:' || m.id end as workflow_id
  from broadcast_messages m
  left join campaigns k on k.id = m.campaign_id
 where m.recipient_phone = $1 and m.status = 'suppressed' and (m.campaign_id is not null or m.resends > 0)
"""

SELECT_WORKFLOWS = """
select case when k.id is not null then 'campaign:' || k.name || ':' || coalesce(m.key_phone, m.recipient_phone)
            else 'message:' || m.id end as workflow_id
  from broadcast_messages m
  left join campaigns k on k.id = m.campaign_id
 where m.id = any ($1)
"""

NOTE_SIGNALLED = "update suppressions set signalled_at = clock_timestamp() where phone = any ($1)"

SELECT_TO_SIGNAL = """
select phone
  from suppressions
 where signalled_at is null and created_at < clock_timestamp() - interval '10 seconds'
 group by phone
 order by min(created_at)
 limit $1
"""


def gets_no(category: OptOutCategory) -> str:
    """What a phone gets none of after an opt-out, in words."""
    return "nothing" if category == "all" else "no marketing messages"


class RecordedOptOut(NamedTuple):
    """The result of an opt-out. ``changed``: True if it is new; ``ended``: how many enrollments it ended."""

    changed: bool
    category: OptOutCategory
    """From what the phone has opted out now, by this and other sources."""
    ended: int
    workflows: list[str]
    """The workflows of the phone's enrollments, as far as the ledger knows."""


class RecordedOptOuts(NamedTuple):
    """The result of many opt-outs. ``enrollments``: those that they ended."""

    enrollments: list[int]
    workflows: list[str]
    """The workflows of messages that the opt-outs closed and that wait for a slot or for a hold to end."""


async def record_opt_out(
    connection: Connection,
    phone: str,
    reason: str,
    *,
    source: OptOutSource = "operator",
    category: OptOutCategory = "all",
    evidence: int | None = None,
) -> RecordedOptOut:
    """Notes it, with the inbound message that says so (``evidence``), ends the enrollments that it concerns and closes
    every such message that no attempt holds, all or nothing.

    Again, it changes nothing, and closes what it finds. What an attempt holds or has held is settled by that attempt,
    or by the recovery (messaging.sending.recovery).
    """
    async with connection.transaction():
        before = await connection.fetchval(SELECT_CATEGORY, phone)
        await connection.execute(INSERT_SUPPRESSIONS, [phone], source, category, reason, evidence)
        after: OptOutCategory = await connection.fetchval(SELECT_CATEGORY, phone)
        await connection.execute(FORGET_WANTED, [phone])
        # Messages are locked before enrollments, as everywhere.
        await suppress_waiting(connection, [phone])
        ended = await connection.fetch(END_ENROLLMENTS, [phone])
        workflows = await connection.fetch(
            "select workflow_id from sequence_contacts where phone = $1 and status = 'opted_out'", phone
        )
    return RecordedOptOut(before != after, after, len(ended), [row["workflow_id"] for row in workflows])


async def opt_out_owner(
    connection: Connection, phone: str, reason: str, *, category: OptOutCategory = "all"
) -> tuple[str, RecordedOptOut]:
    """Notes that an operator opts out the owner of ``phone``, under the phone that they have now; answers that phone too.

    Raises Conflict for somebody who is forgotten, and gets nothing anyway. Do not call it in a transaction.
    """

    async def record() -> tuple[str, RecordedOptOut]:
        if (known := await find_tombstone(connection, phone)) is not None:
            raise Conflict(f"{known.words}: nothing is sent to them, and no opt-out is needed")
        present = await hold_phone(connection, phone)  # or else it might change before the opt-out is stored
        return present, await record_opt_out(connection, present, reason, category=category)

    return await all_or_nothing(connection, record)


async def record_opt_outs(
    connection: Connection, phones: Sequence[str], reason: str, *, category: OptOutCategory = "all"
) -> RecordedOptOuts:
    """The same for many phones that an operator opts out. Call it in a transaction."""
    await connection.execute(INSERT_SUPPRESSIONS, phones, "operator", category, reason, None)
    if len(phones) > MANY:
        await connection.execute("analyze suppressions")
    await connection.execute(FORGET_WANTED, phones)
    closed = await connection.fetch(SUPPRESS_WAITING, phones)
    ended = await connection.fetch(END_ENROLLMENTS, phones)
    workflows = await connection.fetch(SELECT_WORKFLOWS, [row["id"] for row in closed if row["waits"]])
    return RecordedOptOuts([row["id"] for row in ended], [row["workflow_id"] for row in workflows])


async def suppress_waiting(connection: Connection | Pool, phones: Sequence[str]) -> None:
    """Closes the messages that opt-outs of these phones concern, except those that an attempt holds."""
    await connection.execute(SUPPRESS_WAITING, list(phones))


async def has_lead(connection: Connection | Pool, phone: str) -> bool:
    """Whether there is a lead with this phone."""
    return bool(await connection.fetchval("select exists (select from leads where phone = $1)", phone))


async def suppressed(pool: Pool, phone: str) -> list[str]:
    """The workflows of messages that the opt-out closed: they may be waiting for a slot or for a hold to end."""
    return [row["workflow_id"] for row in await pool.fetch(SELECT_SUPPRESSED, phone)]


async def note_signalled(pool: Pool, phones: Sequence[str]) -> None:
    """Notes that those workflows were signalled."""
    await pool.execute(NOTE_SIGNALLED, list(phones))


async def phones_to_signal(pool: Pool) -> list[str]:
    """Phones that opted out some seconds ago and whose workflows were not signalled, as the process died before."""
    return [row["phone"] for row in await pool.fetch(SELECT_TO_SIGNAL, TOGETHER)]


class Withdrawn(NamedTuple):
    """The result of taking opt-outs back. ``left``: what the phone has still opted out of."""

    changed: bool
    left: OptOutCategory | None


async def withdraw(pool: Pool, phone: str, category: OptOutCategory | None = None) -> Withdrawn:
    """Takes back the opt-outs of a phone, from whatever source: those of one category, or all (None). What has ended
    stays ended.
    """
    async with pool.acquire() as connection, connection.transaction():
        deleted = await connection.fetch(DELETE_SUPPRESSIONS, phone, category)
        return Withdrawn(bool(deleted), await connection.fetchval(SELECT_CATEGORY, phone))
