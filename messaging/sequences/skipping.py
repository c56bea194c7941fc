"""Cancels the messages of steps that a contact skips."""

from datetime import datetime

from messaging.common.database import Connection, Record
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_ids import sequence_message_id
from messaging.sequences.next_step import EnrollmentState

__all__ = ["cancel_step"]

# Cancels the message $1 of the step $2, which was due at $4 for the enrollment $3, for the reason $8. held: an attempt
# may be sending it now; $5, $6: see claim_life.
SKIP_STEP = """
insert into broadcast_messages as m
       (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status, reason)
select $1, $2, id, lead_id, phone, device_id, $4, 'cancelled', $8
  from sequence_contacts
 where id = $3
    on conflict (id) do update
   set status = case when is_waiting(m.status) then 'cancelled' else m.status end,
       reason = case when is_waiting(m.status) then excluded.reason else m.reason end,
       slot_at = null, updated_at = clock_timestamp()
returning status, claimed_at + claim_life(m, $5, $6) > coalesce($7, clock_timestamp()) as held
"""


async def cancel_step(
    connection: Connection,
    contact: EnrollmentState,
    step_id: int,
    due_at: datetime,
    reason: str,
    now: datetime | None = None,
) -> Record:
    """Cancels the message of a step, unless it has gone out or an attempt may be sending it; there is none yet if the step
    has not been due. Answers the message's status, and whether an attempt holds it (``held``).
    """
    row = await connection.fetchrow(
        *(SKIP_STEP, sequence_message_id(step_id, contact.phone), step_id, contact.enrollment_id, due_at),
        *(CLAIM_LIFETIME, longer_lifetimes(), now, reason),
    )
    assert row is not None
    return row
