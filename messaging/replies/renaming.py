"""Gives a lead another phone because an operator says so."""

from functools import partial

from messaging.common.database import Connection
from messaging.common.errors import Conflict, InvalidInput, NotFound
from messaging.common.transactions import all_or_nothing
from messaging.leads.forgotten import ASKED, is_forgotten
from messaging.leads.phone_changes import present_phone
from messaging.replies.consequences import Stopped
from messaging.replies.numbers import ChangedNumber, change_number
from messaging.replies.record import LOCK_SENDER, follow

__all__ = ["rename_phone"]

IS_LEAD = "select exists (select from leads where phone = $1)"

# Reports of this change that were left to a person.
MARK_REVIEWED = """
update inbound_messages
   set reviewed_at = clock_timestamp()
 where phone = $1 and to_review = 'number_changed' and reviewed_at is null
"""


async def rename_phone(connection: Connection, old: str, new: str) -> tuple[ChangedNumber, list[Stopped]]:
    """The lead with the phone ``old`` has ``new`` from now on; answers what was moved, and what has opted out thereby.

    Repeating it changes nothing. Raises NotFound if no lead has or had ``old``, and InvalidInput if the two are the same
    phone; and Conflict if whoever has ``new`` is to be forgotten. Do not call it in a transaction.
    """
    if old == new:
        raise InvalidInput(f"both are {old}: give the lead's present phone and its new one")
    return await all_or_nothing(connection, partial(_rename, connection, old, new))


async def _rename(connection: Connection, old: str, new: str) -> tuple[ChangedNumber, list[Stopped]]:
    # An inbound message of this person is recorded before the change, or finds the new phone.
    await connection.execute(LOCK_SENDER, sorted({old, new}))
    if await is_forgotten(connection, new):
        raise Conflict(f"no lead can have the phone {new}: {ASKED}")
    present = await present_phone(connection, old)
    await connection.execute(LOCK_SENDER, [present])
    if not await connection.fetchval(IS_LEAD, present) and not await connection.fetchval(IS_LEAD, old):
        raise NotFound(f"there is no lead with the phone {old}")
    if present == new:
        return ChangedNumber(old=old, new=new), []
    stopped: list[Stopped] = []

    async def follow_stop(phone: str, evidence: int) -> None:
        stopped.extend((await follow(connection, phone, evidence, [phone])).stopped)

    now = await connection.fetchval("select clock_timestamp()")
    changed = await change_number(connection, present, new, now, follow_stop)
    await connection.execute(MARK_REVIEWED, changed.new)
    return changed.model_copy(update={"old": old}), stopped
