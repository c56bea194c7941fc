"""Opt-outs: phones that are to get nothing more, from any sequence, campaign or device. Phones are E.164."""

from typing import NamedTuple

from messaging.common.database import Connection, Pool

__all__ = ["RecordedOptOut", "record_opt_out", "suppress_waiting", "withdraw"]


END_ENROLLMENTS = """
update sequence_contacts
   set status = 'opted_out', reason = 'the recipient opted out', next_step_id = null, next_due_at = null,
       ended_at = clock_timestamp()
 where phone = $1 and status = 'active'
returning id
"""

SUPPRESS_WAITING = """
update broadcast_messages
   set status = 'suppressed', reason = 'the recipient opted out', slot_at = null, updated_at = clock_timestamp()
 where recipient_phone = $1 and is_waiting(status) and exists (select from suppressions where phone = $1)
"""


class RecordedOptOut(NamedTuple):
    """What an opt-out did. ``changed``: whether it is news; ``ended``: enrollments that it ended."""

    changed: bool
    ended: int
    workflows: list[str]
    """Those that run for the phone's enrollments, as far as the ledger knows."""


async def record_opt_out(connection: Connection, phone: str, reason: str) -> RecordedOptOut:
    """Notes it, ends the phone's enrollments and closes every message that no attempt holds, all or nothing.

    Again, it changes nothing, and closes what it finds. What an attempt holds or has held is settled by that attempt,
    or by the recovery (messaging.sending.recovery).
    """
    async with connection.transaction():
        changed = await connection.fetchval(
            "insert into suppressions (phone, reason) values ($1, $2) on conflict do nothing returning true",
            phone,
            reason,
        )
        # Messages are locked before enrollments, here as everywhere.
        await suppress_waiting(connection, phone)
        ended = await connection.fetch(END_ENROLLMENTS, phone)
        workflows = await connection.fetch(
            "select workflow_id from sequence_contacts where phone = $1 and status = 'opted_out'", phone
        )
    return RecordedOptOut(bool(changed), len(ended), [row["workflow_id"] for row in workflows])


async def suppress_waiting(connection: Connection | Pool, phone: str) -> None:
    """Closes the messages to a phone that has opted out, as far as no attempt holds them."""
    await connection.execute(SUPPRESS_WAITING, phone)


async def withdraw(pool: Pool, phone: str) -> bool:
    """The phone may be written to again; whether that is news. What ended stays ended."""
    return bool(await pool.fetchval("delete from suppressions where phone = $1 returning true", phone))
