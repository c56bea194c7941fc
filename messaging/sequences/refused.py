"""Enrollments that a worker could not take: no such sequence, no device, a value that cannot be stored.

Who enrolled may be gone by then: the request was handed to Temporal while no worker ran. So each stands here, with the reason,
until the phone is enrolled in that sequence after all, or thirty days have passed.
"""

from datetime import datetime

from messaging.common.database import Pool
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value

__all__ = ["RefusedEnrollment", "note_refused", "refused_enrollments"]

NOTE_REFUSED = """
with forgotten as (
    delete from refused_enrollments where refused_at < clock_timestamp() - interval '30 days' and (sequence, phone) <> ($1, $2)
), answered as (
    delete from wanted_enrollments w using sequences s where s.id = w.sequence_id and s.name = $1 and w.phone = $2
)
insert into refused_enrollments (sequence, phone, reason)
values ($1, $2, $3)
    on conflict (sequence, phone) do update set reason = excluded.reason, refused_at = excluded.refused_at
"""

# $1: the phone; null: all.
SELECT_REFUSED = """
select sequence, phone, reason, refused_at
  from refused_enrollments r
 where ($1::text is null or phone = $1) and refused_at > clock_timestamp() - interval '30 days'
   and not exists (select from sequence_contacts c join sequences s on s.id = c.sequence_id
                    where s.name = r.sequence and c.phone = r.phone)
 order by refused_at desc, sequence
"""


class RefusedEnrollment(Value):
    """An enrollment that a worker could not take. ``refused_at``: the last time."""

    sequence: str
    phone: str
    reason: str
    refused_at: datetime


async def note_refused(pool: Pool, sequence: str, phone: str, reason: str) -> None:
    """Keeps that this enrollment was refused, and why. A later one that succeeds makes it void."""
    await pool.execute(
        NOTE_REFUSED, storable(sequence, 100), storable(phone, 100), storable(reason, LONGEST_REASON)
    )


async def refused_enrollments(pool: Pool, phone: str | None = None) -> list[RefusedEnrollment]:
    """What was refused, the latest first: of one phone (E.164), or of all."""
    return [RefusedEnrollment.model_validate(dict(row)) for row in await pool.fetch(SELECT_REFUSED, phone)]
