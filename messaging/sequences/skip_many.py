"""Skips the step that comes next for many contacts: some hundred of them in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.positions import NextPosition
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.next_step import EnrollmentState, after_settling

__all__ = ["TOGETHER", "SkippedMany", "skip_many"]

TOGETHER = 500
"""Contacts of one transaction."""

# Messages of the step that are there already. held, $2 to $4: as skipping.SKIP_STEP has it.
SELECT_BEGUN = """
select m.id, m.status, m.claimed_at + claim_life(m, $2, $3) > coalesce($4, clock_timestamp()) as held
  from broadcast_messages m
 where m.id = any ($1)
 order by m.id
   for no key update
"""

CANCEL = """
insert into broadcast_messages as m
       (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status, reason)
select told.message, told.step, c.id, c.lead_id, c.phone, c.device_id, told.due_at, 'cancelled', 'skipped by an operator'
  from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[]) as told (message, step, contact, due_at)
  join sequence_contacts c on c.id = told.contact
 order by told.message
    on conflict (id) do update
   set status = case when is_waiting(m.status) then 'cancelled' else m.status end,
       reason = case when is_waiting(m.status) then excluded.reason else m.reason end,
       slot_at = null, updated_at = clock_timestamp()
returning m.id, m.status
"""

# Contacts that are as they were read.
LOCK_UNCHANGED = """
select c.id
  from sequence_contacts c
  join unnest($1::bigint[], $2::text[]) as read (id, version) on read.id = c.id and read.version = c.xmin::text
 order by c.id
   for no key update of c
"""

MOVE = """
select move_contact(told.contact, told.position) from unnest($1::bigint[], $2::jsonb[]) as told (contact, position)
"""

# And one event for each.
MARK_TO_SIGNAL = """
with marked as (
    update sequence_contacts set plan_changed_at = clock_timestamp() where id = any ($1)
    returning phone, sequence_id, device_id
)
select note_event('contact.skipped', m.phone, s.name, null, m.device_id, null, null, jsonb_build_object('step', $2::text))
  from marked m
  join sequences s on s.id = m.sequence_id
"""


class SkippedMany(NamedTuple):
    """Which enrollments skip the step, and why others do not, a line for each."""

    skipped: list[int]
    refused: list[str]


class _Skip(NamedTuple):
    contact: EnrollmentState
    step: int
    due_at: datetime
    position: NextPosition

    @property
    def message(self) -> object:
        return sequence_message_id(self.step, self.contact.phone)


async def skip_many(
    pool: Pool, enrollments: Sequence[int], step: str, *, now: datetime | None
) -> SkippedMany:
    """Skips ``step`` (its key) for those of these contacts for which it is the next one, in one transaction.

    If one of them changes meanwhile, each is skipped by itself.
    """
    wanted = [
        one
        for contact in await Enrollments(pool).load_many(enrollments, now=now)
        if (one := _skip(contact, step)) is not None
    ]
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        done = await _skip_all(connection, wanted, step, now)
        if done is not None:
            await transaction.commit()
            return done
        await transaction.rollback()
    return await _one_by_one(pool, [one.contact.enrollment_id for one in wanted], step, now)


def _skip(contact: EnrollmentState, step: str) -> _Skip | None:
    """Where the contact stands afterwards; None if the step is not the next one any more."""
    if (
        contact.status != "active"
        or contact.step != step
        or contact.step_id is None
        or contact.due_at is None
    ):
        return None
    # What waits for a reply has no moment of its own: the next step counts from now.
    waits = any(one.id == contact.step_id and one.wait_for is not None for one in contact.plan.steps)
    position, _ = after_settling(
        contact.plan,
        contact.timeline,
        step,
        contact.due_at,
        contact.now if waits else max(contact.now, contact.due_at),
        contact.hours,
        phone=contact.phone,
        device_id=contact.device_id,
    )
    return _Skip(contact, contact.step_id, contact.due_at, position)


async def _skip_all(
    connection: Connection, wanted: Sequence[_Skip], step: str, now: datetime | None
) -> SkippedMany | None:
    """None if a contact or its message has changed since it was read: then nothing may stay."""
    begun = {
        row["id"]: row
        for row in await connection.fetch(
            SELECT_BEGUN, [one.message for one in wanted], CLAIM_LIFETIME, longer_lifetimes(), now
        )
    }
    refused, skips = list[str](), list[_Skip]()
    for one in wanted:
        row = begun.get(one.message)
        if row is not None and row["status"] == "processing" and row["held"]:
            refused.append(f"{step!r} is being sent just now")
        elif row is not None and row["status"] not in ("pending", "queued", "processing", "cancelled"):
            refused.append(f"{step!r} is {row['status']} already")
        else:
            skips.append(one)
    cancelled = await connection.fetch(
        CANCEL,
        [one.message for one in skips],
        [one.step for one in skips],
        [one.contact.enrollment_id for one in skips],
        [one.due_at for one in skips],
    )
    # An attempt may have made and claimed the message since the look above.
    if any(row["status"] != "cancelled" and row["id"] not in begun for row in cancelled):
        return None
    identifiers = [one.contact.enrollment_id for one in skips]
    unchanged = await connection.fetch(LOCK_UNCHANGED, identifiers, [one.contact.version for one in skips])
    if len(unchanged) < len(skips):
        return None
    await connection.execute(MOVE, identifiers, [one.position.model_dump(mode="json") for one in skips])
    await connection.execute(MARK_TO_SIGNAL, identifiers, step)
    return SkippedMany(identifiers, refused)


async def _one_by_one(pool: Pool, enrollments: Sequence[int], step: str, now: datetime | None) -> SkippedMany:
    each, skipped, refused = Enrollments(pool), list[int](), list[str]()
    for one in enrollments:
        try:
            if await each.skip(one, step, now=now):
                skipped.append(one)
        except Conflict as error:
            refused.append(str(error))
    return SkippedMany(skipped, refused)
