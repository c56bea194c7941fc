"""Contacts to which a reply matters: their next step waits for one, or asks whether one has come."""

from collections.abc import Sequence
from typing import NamedTuple

from messaging.common.database import Connection

__all__ = ["Awaiting", "release_awaiting"]

# A step that is being settled meanwhile moves its contact on: move_contact then finds the reply, as it waits for this lock.
LOCK_CONTACTS = """
select from sequence_contacts
 where phone = any ($1) and status = 'active'
 order by id
   for no key update
"""

MARK_AWAITING = """
update sequence_contacts c
   set plan_changed_at = clock_timestamp()
  from sequence_steps t
 where c.phone = any ($1) and c.status = 'active' and t.id = c.next_step_id and t.wait_for is not null
   and c.timeline ->> 'replied_at' is null and first_reply(c) is not null
returning c.id as enrollment, c.workflow_id
"""


# An attempt may have claimed the step just before the reply, and may still begin to send it.
SELECT_ASKING = """
select c.id as enrollment, c.workflow_id
  from sequence_contacts c
  join sequence_steps t on t.id = c.next_step_id
 where c.phone = any ($1) and c.status = 'active' and t.conditions ? 'replied'
"""


class Awaiting(NamedTuple):
    """An enrollment to which the reply matters, and its workflow."""

    enrollment: int
    workflow_id: str


async def release_awaiting(connection: Connection, phones: Sequence[str]) -> list[Awaiting]:
    """Notes that the contacts of these phones are to be replanned if their next step has waited for a reply that is
    recorded; answers which, and whose next step asks whether one has come.

    To be called in the transaction that records the reply, at its end: it locks the contacts. The step comes even if
    the workflows get no signal now, as the recovery signals them.
    """
    await connection.execute(LOCK_CONTACTS, phones)
    rows = await connection.fetch(MARK_AWAITING, phones)
    rows += await connection.fetch(SELECT_ASKING, phones)
    return [Awaiting(*one) for one in dict.fromkeys((row["enrollment"], row["workflow_id"]) for row in rows)]
