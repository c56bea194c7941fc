"""Finds who is to be enrolled: by inbound messages that want it, and leads because of their triggers."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from messaging.common.database import Pool, Record
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest, SweepCursor, SweepTotals
from messaging.sequences.wanted import WantedPage, wanted_page

__all__ = [
    "PAGE",
    "DueEnrollments",
    "due_enrollments",
    "not_all_enrolled",
]

PAGE = 200
"""Leads in a page: few enough that little is repeated after a worker has died."""

# What keeps a lead l from being enrolled in a sequence s.
WHY_NOT = """
           exists (select from suppressions o where o.phone = l.phone and o.category in ('all', s.category)) as opted_out,
           s.require_consent and l.consent_at is null as without_consent,
           coalesce(l.device_id, s.device_id, only_device()) is null as without_device
"""

# First a page of leads, then their sequences: so a page costs the same, however many leads have a trigger.
SELECT_PAGE = f"""
with page as materialized (
    select l.*
      from leads l
     where l.triggers <> '{{}}' and l.id > $1 and ($2::text is null or l.triggers @> array[$2])
     order by l.id
     limit $3
)
select l.id as place, l.phone, l.name, due.name as sequence, due.opted_out, due.without_consent, due.without_device
  from page l
  left join lateral (
    select s.id, s.name, {WHY_NOT}
      from sequences s
     where s.trigger = any (l.triggers) and s.status = 'active' and ($2::text is null or s.trigger = $2)
       and not exists (select from sequence_contacts c where c.sequence_id = s.id and c.phone = l.phone)
       and not exists (select from sequence_contacts c where c.sequence_id = s.id and c.key_phone = l.phone)) due on true
 order by l.id, due.id
"""  # noqa: S608 - constants of this module

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
    left_out: SweepTotals
    next: SweepCursor | None


async def due_enrollments(pool: Pool, cursor: SweepCursor, *, size: int = PAGE) -> DueEnrollments:
    """The page after ``cursor``: first of wanted enrollments, then of leads.

    A lead is enrolled into each active sequence whose trigger it has (the whole word, never a part), if it has not been
    through that sequence. A lead that has opted out, has not given the consent that the sequence requires, or that no
    device can write to, is left out and keeps its trigger.
    """
    wanted = WantedPage(requests=(), last=None)
    if cursor.trigger is None and cursor.wanted is not None:
        wanted = await wanted_page(pool, cursor.wanted, size)
        if wanted.last is not None:
            next_page = cursor.model_copy(update={"wanted": wanted.last})
            return DueEnrollments([*wanted.requests], SweepTotals(), next_page)
    rows = await pool.fetch(SELECT_PAGE, cursor.lead_id, cursor.trigger, size)
    last = len({row["place"] for row in rows}) < size
    following = None if last else cursor.model_copy(update={"wanted": None, "lead_id": rows[-1]["place"]})
    return DueEnrollments([*wanted.requests, *_requests(rows)], _left_out(rows), following)


def _requests(rows: Sequence[Record]) -> list[EnrollmentRequest]:
    found = {
        (row["sequence"], row["phone"]): EnrollmentRequest(
            sequence=row["sequence"], lead=Lead(phone=row["phone"], name=row["name"])
        )
        for row in rows
        if row["sequence"] is not None and _why_not(row) is None
    }
    return list(found.values())


def _left_out(rows: Sequence[Record]) -> SweepTotals:
    return SweepTotals(**Counter(why for row in rows if (why := _why_not(row)) is not None))


def _why_not(row: Record) -> str | None:
    return next((why for why in ("opted_out", "without_consent", "without_device") if row[why]), None)


async def not_all_enrolled(pool: Pool, requests: Sequence[EnrollmentRequest]) -> bool:
    """True if one of these contacts has no row yet."""
    missing: bool = await pool.fetchval(
        IS_ONE_MISSING,
        [request.sequence for request in requests],
        [request.lead.phone for request in requests],
    )
    return missing
