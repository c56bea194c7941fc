"""Enrollments that an inbound message asks for: noted in its transaction, and taken by a worker right after.

The row of ``wanted_enrollments`` stands until the contact's workflow has enrolled it, or could not. If the process dies
before it has started the workflow, or Temporal cannot be reached, the recovery starts it (activities.recovery).
"""

from messaging.common.database import Connection, Pool, Record
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest

__all__ = ["overdue_enrollments", "want_enrollment"]

TOGETHER = 200
"""Enrollments that are started at a time; the next sweep, a minute later, finds the rest."""

# No row for a phone that is no lead, has opted out, or has been through that sequence.
WANT_ENROLLMENT = """
insert into wanted_enrollments (sequence_id, phone, inbound_message_id)
select $1, l.phone, $3
  from leads l
  join sequences s on s.id = $1
 where l.phone = $2
   and not exists (select from suppressions o where o.phone = l.phone and o.category in ('all', s.category))
   and not exists (select from sequence_contacts c where c.sequence_id = $1 and c.phone = l.phone)
    on conflict do nothing
"""

SELECT_WANTED = """
select s.name as sequence, l.phone, l.name
  from wanted_enrollments w
  join sequences s on s.id = w.sequence_id
  join leads l on l.phone = w.phone
 where w.sequence_id = $1 and w.phone = $2
"""

SELECT_OVERDUE = """
select s.name as sequence, l.phone, l.name
  from wanted_enrollments w
  join sequences s on s.id = w.sequence_id
  join leads l on l.phone = w.phone
 where w.created_at < clock_timestamp() - interval '10 seconds'
 order by w.created_at
 limit $1
"""


async def want_enrollment(
    connection: Connection, sequence_id: int, phone: str, inbound_id: int
) -> EnrollmentRequest | None:
    """Notes that this lead is to enter the sequence, in the caller's transaction; answers the enrollment to start.

    None if there is none to start: the phone is no lead, has opted out, or has been through the sequence.
    """
    await connection.execute(WANT_ENROLLMENT, sequence_id, phone, inbound_id)
    row = await connection.fetchrow(SELECT_WANTED, sequence_id, phone)
    return None if row is None else _request(row)


async def overdue_enrollments(pool: Pool) -> list[EnrollmentRequest]:
    """Enrollments that were noted some seconds ago and that no worker has taken."""
    return [_request(row) for row in await pool.fetch(SELECT_OVERDUE, TOGETHER)]


def _request(row: Record) -> EnrollmentRequest:
    return EnrollmentRequest(sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"]))
