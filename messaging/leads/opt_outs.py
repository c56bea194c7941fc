"""Opt-outs: phones that get nothing more, from any sequence, campaign or device. Phones are E.164."""

from typing import Literal, NamedTuple

from messaging.common.database import Connection, Pool

__all__ = [
    "OptOutSource",
    "RecordedOptOut",
    "note_told",
    "record_opt_out",
    "suppress_waiting",
    "suppressed",
    "untold",
    "withdraw",
]

TOGETHER = 200
"""Opt-outs whose workflows are signalled at a time; the next sweep, a minute later, finds the rest."""


OptOutSource = Literal["operator", "reply", "preference"]
"""Who opted out: an operator; the recipient, by a keyword; the recipient, in WhatsApp's settings. Each counts by
itself.
"""


INSERT_SUPPRESSION = """
insert into suppressions (phone, source, reason, inbound_message_id)
values ($1, $2, $3, $4)
on conflict do nothing
"""

END_ENROLLMENTS = """
update sequence_contacts
   set status = 'opted_out', reason = 'the recipient opted out', next_step_id = null, next_due_at = null,
       ended_at = clock_timestamp(), plan_changed_at = clock_timestamp()
 where phone = $1 and status = 'active'
returning id
"""

SUPPRESS_WAITING = """
update broadcast_messages
   set status = 'suppressed', reason = 'the recipient opted out', slot_at = null, updated_at = clock_timestamp()
 where recipient_phone = $1 and is_waiting(status) and exists (select from suppressions where phone = $1)
"""

# The messages of campaigns, and those that were sent again: they have workflows of their own.
SELECT_SUPPRESSED = """
select case when k.id is not null then 'campaign:' || k.name || ':' || m.recipient_phone
            else 'message:' || m.id end as workflow_id
  from broadcast_messages m
  left join campaigns k on k.id = m.campaign_id
 where m.recipient_phone = $1 and m.status = 'suppressed' and (m.campaign_id is not null or m.resends > 0)
"""

NOTE_TOLD = "update suppressions set told_at = clock_timestamp() where phone = $1"

SELECT_UNTOLD = """
select phone
  from suppressions
 where told_at is null and created_at < clock_timestamp() - interval '10 seconds'
 group by phone
 order by min(created_at)
 limit $1
"""


class RecordedOptOut(NamedTuple):
    """The result of an opt-out. ``changed``: True if it is new; ``ended``: how many enrollments it ended."""

    changed: bool
    ended: int
    workflows: list[str]
    """The workflows of the phone's enrollments, as far as the ledger knows."""


async def record_opt_out(
    connection: Connection,
    phone: str,
    reason: str,
    *,
    source: OptOutSource = "operator",
    evidence: int | None = None,
) -> RecordedOptOut:
    """Notes it, with the inbound message that says so (``evidence``), ends the phone's enrollments and closes every message
    that no attempt holds, all or nothing.

    Again, it changes nothing, and closes what it finds. What an attempt holds or has held is settled by that attempt,
    or by the recovery (messaging.sending.recovery).
    """
    async with connection.transaction():
        before = await connection.fetchval("select exists (select from suppressions where phone = $1)", phone)
        await connection.execute(INSERT_SUPPRESSION, phone, source, reason, evidence)
        # Messages are locked before enrollments, as everywhere.
        await suppress_waiting(connection, phone)
        ended = await connection.fetch(END_ENROLLMENTS, phone)
        workflows = await connection.fetch(
            "select workflow_id from sequence_contacts where phone = $1 and status = 'opted_out'", phone
        )
    return RecordedOptOut(not before, len(ended), [row["workflow_id"] for row in workflows])


async def suppress_waiting(connection: Connection | Pool, phone: str) -> None:
    """Closes the messages to a phone that has opted out, except those that an attempt holds."""
    await connection.execute(SUPPRESS_WAITING, phone)


async def suppressed(pool: Pool, phone: str) -> list[str]:
    """The workflows of messages that the opt-out closed: they may be waiting for a slot or for a hold to end."""
    return [row["workflow_id"] for row in await pool.fetch(SELECT_SUPPRESSED, phone)]


async def note_told(pool: Pool, phone: str) -> None:
    """Notes that those workflows were signalled."""
    await pool.execute(NOTE_TOLD, phone)


async def untold(pool: Pool) -> list[str]:
    """Phones that opted out some seconds ago and whose workflows were not signalled, as the process died before."""
    return [row["phone"] for row in await pool.fetch(SELECT_UNTOLD, TOGETHER)]


async def withdraw(pool: Pool, phone: str) -> bool:
    """Takes back the opt-out of a phone, from whatever source; False if there was none. What has ended stays ended."""
    return bool(await pool.fetchval("delete from suppressions where phone = $1 returning true", phone))
