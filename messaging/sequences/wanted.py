"""Enrollments that an inbound message asks for: noted in its transaction, and taken by a worker right after.

The row of ``wanted_enrollments`` stands until the contact's workflow has enrolled it, or could not. If the process dies
before it has started the workflow, has no time for it, or cannot reach Temporal, the trigger sweep starts it
(activities.triggers).
"""

from messaging.common.database import Connection, Pool, Record
from messaging.common.values import Value
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest

__all__ = ["WantedPage", "forget_enrolled", "still_wanted", "want_enrollment", "wanted_page"]

# No row for a phone that is no lead, has opted out, has not given the consent that the sequence requires, or has been
# through that sequence, be it with its former owner: the workflow's ID is used then.
WANT_ENROLLMENT = """
insert into wanted_enrollments (sequence_id, phone, inbound_message_id)
select $1, l.phone, $3
  from leads l
  join sequences s on s.id = $1
 where l.phone = $2
   and not exists (select from suppressions o where o.phone = l.phone and o.category in ('all', s.category))
   and (not s.require_consent or l.consent_at is not null)
   and not exists (select from sequence_contacts c where c.sequence_id = $1 and c.phone = l.phone)
   and not exists (select from sequence_contacts c where c.sequence_id = $1 and c.key_phone = l.phone)
    on conflict do nothing
"""

SELECT_WANTED = """
select s.name as sequence, l.phone, l.name
  from wanted_enrollments w
  join sequences s on s.id = w.sequence_id
  join leads l on l.phone = w.phone
 where w.sequence_id = $1 and w.phone = $2
"""

SELECT_PAGE = """
select w.id, s.name as sequence, l.phone, l.name
  from wanted_enrollments w
  join sequences s on s.id = w.sequence_id
  join leads l on l.phone = w.phone
 where w.id > $1
 order by w.id
 limit $2
"""

IS_WANTED = """
select exists (select from wanted_enrollments w join sequences s on s.id = w.sequence_id
                where s.name = $1 and w.phone = $2)
"""

# A row that was noted while the same enrollment was being stored on another way.
FORGET_ENROLLED = """
delete from wanted_enrollments w
 where exists (select from sequence_contacts c where c.sequence_id = w.sequence_id and c.phone = w.phone)
    or exists (select from sequence_contacts c where c.sequence_id = w.sequence_id and c.key_phone = w.phone)
"""


class WantedPage(Value):
    """Enrollments to start, the oldest first. ``last``: the place of the last one; None if no page follows."""

    requests: tuple[EnrollmentRequest, ...]
    last: int | None


async def want_enrollment(
    connection: Connection, sequence_id: int, phone: str, inbound_id: int
) -> EnrollmentRequest | None:
    """Notes that this lead is to enter the sequence, in the caller's transaction; answers the enrollment to start.

    None if there is none to start: the phone is no lead, has opted out, lacks the consent that the sequence requires, or
    has been through the sequence.
    """
    await connection.execute(WANT_ENROLLMENT, sequence_id, phone, inbound_id)
    row = await connection.fetchrow(SELECT_WANTED, sequence_id, phone)
    return None if row is None else _request(row)


async def wanted_page(pool: Pool, after: int, size: int) -> WantedPage:
    """The enrollments that no worker has taken yet, after this place."""
    rows = await pool.fetch(SELECT_PAGE, after, size)
    return WantedPage(
        requests=tuple(_request(row) for row in rows), last=rows[-1]["id"] if len(rows) == size else None
    )


async def forget_enrolled(pool: Pool) -> None:
    """Takes out those who are enrolled already."""
    await pool.execute(FORGET_ENROLLED)


async def still_wanted(pool: Pool, request: EnrollmentRequest) -> bool:
    """True if no worker has taken this enrollment yet."""
    found: bool = await pool.fetchval(IS_WANTED, request.sequence, request.lead.phone)
    return found


def _request(row: Record) -> EnrollmentRequest:
    return EnrollmentRequest(sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"]))
