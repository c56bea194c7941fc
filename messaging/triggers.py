"""Which leads are to be enrolled because of a trigger they bear."""

from messaging.database import Pool
from messaging.models import EnrollmentRequest, Lead, SweepCursor

__all__ = ["PAGE", "due_enrollments"]

PAGE = 200
"""Leads in a page: small enough that a worker that dies repeats little."""

# First so many leads, then what is to be done for them: a page costs the same, however many leads bear a trigger.
_PAGE = """
with page as materialized (
    select l.id, l.phone, l.name, l.triggers, l.device_id from leads l
     where l.triggers <> '{}' and l.id > $1 and ($2::text is null or l.triggers @> array[$2])
     order by l.id limit $3
)
select p.id as lead_id, p.phone, p.name, due.name as sequence
  from page p left join lateral (
    select s.id, s.name from sequences s
     where s.trigger = any (p.triggers) and s.status = 'active' and ($2::text is null or s.trigger = $2)
       and not exists (select from sequence_contacts c where c.sequence_id = s.id and c.phone = p.phone)
       and not exists (select from suppressions o where o.phone = p.phone)
       and (coalesce(p.device_id, s.device_id) is not null or (select count(*) = 1 from devices))) due on true
 order by p.id, due.id
"""


async def due_enrollments(
    pool: Pool, cursor: SweepCursor, *, size: int = PAGE
) -> tuple[list[EnrollmentRequest], SweepCursor | None]:
    """One page of contacts to enroll, in a stable order, and the cursor of the next page.

    A lead counts for an active sequence whose trigger it bears (the whole word, never a part of one), if it has not
    been through the sequence, has not opted out, and has a device to be written to from.
    """
    rows = await pool.fetch(_PAGE, cursor.lead_id, cursor.trigger, size)
    requests = [
        EnrollmentRequest(sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"]))
        for row in rows
        if row["sequence"] is not None
    ]
    leads = list(dict.fromkeys(row["lead_id"] for row in rows))
    if len(leads) < size:
        return requests, None
    return requests, SweepCursor(lead_id=leads[-1], trigger=cursor.trigger)
