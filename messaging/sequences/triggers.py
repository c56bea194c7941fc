"""Finds the leads that are to be enrolled because of their triggers."""

from collections.abc import Sequence
from typing import NamedTuple

from messaging.common.database import Pool
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest, SweepCursor

__all__ = ["PAGE", "DueEnrollments", "due_enrollments", "not_all_enrolled"]

PAGE = 200
"""Leads in a page: few enough that little is repeated after a worker has died."""

# First a page of leads, then their sequences: so a page costs the same, however many leads have a trigger.
SELECT_PAGE = """
with page as materialized (
    select l.id, l.phone, l.name, l.triggers, l.device_id
      from leads l
     where l.triggers <> '{}' and l.id > $1 and ($2::text is null or l.triggers @> array[$2])
     order by l.id
     limit $3
)
select p.id as lead_id, p.phone, p.name, due.name as sequence, due.opted_out, due.without_device
  from page p
  left join lateral (
    select s.id, s.name,
           exists (select from suppressions o where o.phone = p.phone and o.category in ('all', s.category)) as opted_out,
           coalesce(p.device_id, s.device_id, (select only_device())) is null as without_device
      from sequences s
     where s.trigger = any (p.triggers) and s.status = 'active' and ($2::text is null or s.trigger = $2)
       and not exists (select from sequence_contacts c where c.sequence_id = s.id and c.phone = p.phone)) due on true
 order by p.id, due.id
"""

IS_ONE_MISSING = """
select exists (select from unnest($1::text[], $2::text[]) as r (sequence, phone)
                where not exists (select from sequences s
                                    join sequence_contacts c on c.sequence_id = s.id
                                   where s.name = r.sequence and c.phone = r.phone))
"""


class DueEnrollments(NamedTuple):
    """One page of contacts to enroll, in a stable order; how many were left out; and the cursor of the next page, if
    any.
    """

    requests: list[EnrollmentRequest]
    opted_out: int
    without_device: int
    next: SweepCursor | None


async def due_enrollments(pool: Pool, cursor: SweepCursor, *, size: int = PAGE) -> DueEnrollments:
    """The page after ``cursor``.

    A lead is enrolled into each active sequence whose trigger it has (the whole word, never a part), if it has not been
    through that sequence. A lead that has opted out, or that no device can write to, is left out and keeps its trigger.
    """
    rows = await pool.fetch(SELECT_PAGE, cursor.lead_id, cursor.trigger, size)
    requests = [
        EnrollmentRequest(sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"]))
        for row in rows
        if row["sequence"] is not None and not row["opted_out"] and not row["without_device"]
    ]
    leads = list(dict.fromkeys(row["lead_id"] for row in rows))
    following = None if len(leads) < size else SweepCursor(lead_id=leads[-1], trigger=cursor.trigger)
    return DueEnrollments(
        requests,
        opted_out=sum(bool(row["opted_out"]) for row in rows),
        without_device=sum(bool(row["without_device"]) and not row["opted_out"] for row in rows),
        next=following,
    )


async def not_all_enrolled(pool: Pool, requests: Sequence[EnrollmentRequest]) -> bool:
    """True if one of these contacts has no row yet."""
    missing: bool = await pool.fetchval(
        IS_ONE_MISSING,
        [request.sequence for request in requests],
        [request.lead.phone for request in requests],
    )
    return missing
