"""Which leads are to be enrolled because of a trigger they bear."""

from messaging.database import Pool
from messaging.models import EnrollmentRequest, Lead, SweepCursor

__all__ = ["PAGE", "due_enrollments"]

PAGE = 200
"""Contacts in a page: small enough that a worker that dies repeats little."""


async def due_enrollments(
    pool: Pool, cursor: SweepCursor, *, size: int = PAGE
) -> tuple[list[EnrollmentRequest], SweepCursor | None]:
    """One page of contacts to enroll, in a stable order, and the cursor of the next page.

    A lead counts for an active sequence whose trigger it bears (the whole word, never a part of one), if it has not
    been through the sequence, has not opted out, and has a device to be written to from.
    """
    rows = await pool.fetch(
        "select l.id as lead_id, s.id as sequence_id, s.name as sequence, l.phone, l.name"
        " from sequences s join leads l on l.triggers @> array[s.trigger]"
        " where s.status = 'active' and s.trigger is not null and ($3::text is null or s.trigger = $3)"
        " and (l.id, s.id) > ($1, $2)"
        " and not exists (select from sequence_contacts c where c.sequence_id = s.id and c.phone = l.phone)"
        " and not exists (select from suppressions o where o.phone = l.phone)"
        " and (coalesce(l.device_id, s.device_id) is not null or (select count(*) = 1 from devices))"
        " order by l.id, s.id limit $4",
        cursor.lead_id,
        cursor.sequence_id,
        cursor.trigger,
        size,
    )
    requests = [
        EnrollmentRequest(sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"]))
        for row in rows
    ]
    if len(rows) < size:
        return requests, None
    last = rows[-1]
    return requests, SweepCursor(
        lead_id=last["lead_id"], sequence_id=last["sequence_id"], trigger=cursor.trigger
    )
