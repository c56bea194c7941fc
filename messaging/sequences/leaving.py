"""Ends a contact's enrollment: closes its waiting messages, and passes a completed contact on to the next sequence."""

from datetime import datetime

from messaging.common.database import Connection
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentEnd, EnrollmentRequest, Finished

__all__ = ["end_enrollment"]

LOCK_WAITING_MESSAGES = """
select from broadcast_messages
 where sequence_contact_id = $1 and is_waiting(status)
   for no key update
"""

END_ENROLLMENT = """
update sequence_contacts
   set status = $2, reason = $3, next_step_id = null, next_due_at = null, ended_at = coalesce($4, clock_timestamp()),
       plan_changed_at = case when not $5 then clock_timestamp() end
 where id = $1 and status = 'active'
"""

# How it ended; $2: the contact's own workflow asks, so it needs no signal.
SELECT_ENDING = """
with no_signal_needed as (
    update sequence_contacts set plan_changed_at = null where id = $1 and $2 and plan_changed_at is not null
)
select status, reason from sequence_contacts where id = $1
"""

# A message that an operator has sent again still goes out, unless the contact has opted out.
CLOSE_WAITING_MESSAGES = """
update broadcast_messages
   set status = $3, reason = $2, slot_at = null, updated_at = clock_timestamp()
 where sequence_contact_id = $1 and is_waiting(status) and (resends = 0 or $3 = 'suppressed')
"""

# follow_up: the sequence of that trigger, if there is one. No row if the phone has been through that sequence.
SELECT_FOLLOW_UP = """
select l.id, l.phone, l.name, s.next_trigger, f.name as follow_up
  from sequence_contacts c
  join leads l on l.id = c.lead_id
  join sequences s on s.id = c.sequence_id
  left join sequences f on f.trigger = s.next_trigger
 where c.id = $1 and c.status = 'completed' and s.next_trigger is not null
   and not exists (select from sequence_contacts o where o.sequence_id = f.id and o.phone = c.phone)
"""

ADD_TRIGGER = """
update leads
   set triggers = array_append(triggers, $2), updated_at = clock_timestamp()
 where id = $1 and not $2 = any (triggers)
"""


async def end_enrollment(
    connection: Connection, end: EnrollmentEnd, *, now: datetime | None, by_workflow: bool
) -> Finished:
    """Ends an enrollment and closes its waiting messages, in the caller's transaction; answers how it ended, now or
    earlier.

    ``by_workflow``: the contact's own workflow calls this, so it needs no signal about the end. When an enrollment is
    completed, the lead gets ``next_trigger``.
    """
    # Messages are locked before enrollments, as everywhere.
    await connection.execute(LOCK_WAITING_MESSAGES, end.enrollment_id)
    await connection.execute(END_ENROLLMENT, end.enrollment_id, end.status, end.reason, now, by_workflow)
    row = await connection.fetchrow(SELECT_ENDING, end.enrollment_id, by_workflow)
    assert row is not None
    await connection.execute(
        CLOSE_WAITING_MESSAGES,
        end.enrollment_id,
        row["reason"] or row["status"],
        "suppressed" if row["status"] == "opted_out" else "cancelled",
    )
    follow_up = await _pass_on(connection, end.enrollment_id) if row["status"] == "completed" else None
    return Finished(status=row["status"], reason=row["reason"], follow_up=follow_up)


async def _pass_on(connection: Connection, enrollment_id: int) -> EnrollmentRequest | None:
    """Gives the lead of a completed enrollment its ``next_trigger``; answers the enrollment that follows, if any."""
    row = await connection.fetchrow(SELECT_FOLLOW_UP, enrollment_id)
    if row is None:
        return None
    await connection.execute(ADD_TRIGGER, row["id"], row["next_trigger"])
    if row["follow_up"] is None:
        return None
    lead = Lead(phone=row["phone"], name=row["name"])
    return EnrollmentRequest(sequence=row["follow_up"], lead=lead)
