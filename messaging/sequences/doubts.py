"""Contacts after a restore of the ledger: the steps that they may have had since, and enrollments that are gone."""

from collections.abc import AsyncIterator
from datetime import datetime

from messaging.common.database import Pool, Record
from messaging.leads.lead import Lead
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.restores import DOUBT, Restore, settle_message
from messaging.sequences.contract import Enrolled, EnrollmentRequest, NotEnrolled
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.joining import UNOWNED

__all__ = [
    "adopt",
    "contacts_in_doubt",
    "doubt_steps",
    "enroll_again",
    "go_past_settled",
    "stored_enrollment",
]

MANY = 1000
"""Steps of one contact, at most: what a sequence may repeat by edits is less."""

# $1: when the restore was found. A step that waits for a reply may have been sent as soon as one came.
SELECT_DUE = """
select c.id
  from sequence_contacts c
  join sequence_steps t on t.id = c.next_step_id
 where c.status = 'active' and (c.next_due_at <= $1 or t.wait_for is not null)
 order by c.id
"""

SELECT_SETTLED = """
select status, coalesce(sent_at, begun_at) as at
  from broadcast_messages
 where id = $1 and not is_unsettled(status) and resends = 0
"""

SELECT_STORED = """
select id, phone, status, (select name from sequences where id = sequence_id) as sequence
  from sequence_contacts
 where workflow_id = $1 and (run_id = $2 or id = $3)
"""

# $2: of a run that is still to come.
ADOPT = """
update sequence_contacts c
   set run_id = $2
  from sequences s
 where c.workflow_id = $1 and c.status = 'active' and s.id = c.sequence_id
returning s.name, coalesce(c.key_phone, c.phone) as phone, (select l.name from leads l where l.id = c.lead_id) as lead
"""

SELECT_ROW = "select to_jsonb(c) from sequence_contacts c where id = $1"

DELETE_ROW = "delete from sequence_contacts where id = $1"

INSERT_ROW = """
insert into sequence_contacts overriding system value
select (jsonb_populate_record(null::sequence_contacts, $1::jsonb || jsonb_build_object('id', $2::bigint))).*
"""


async def stored_enrollment(
    pool: Pool, workflow_id: str, run_id: str, enrollment_id: int | None
) -> Record | None:
    """The enrollment of this workflow, by its run or by its own ID: its id, phone, status and sequence."""
    return await pool.fetchrow(SELECT_STORED, workflow_id, run_id, enrollment_id)


async def contacts_in_doubt(pool: Pool, restore: Restore) -> list[int]:
    """The enrollments whose next step may have been sent before the restore was found."""
    return [row["id"] for row in await pool.fetch(SELECT_DUE, restore.found_at)]


async def doubt_steps(pool: Pool, enrollment_id: int, restore: Restore) -> int:
    """Marks each step that this contact may have had before the restore was found as unconfirmed, and moves the contact
    past it; answers how many.
    """
    enrollments = Enrollments(pool)
    count = 0
    async for step_id, phone, due_at in _due(enrollments, enrollment_id, restore):
        at = min(due_at, restore.found_at)
        count += await settle_message(
            pool,
            sequence_message_id(step_id, phone),
            "unconfirmed",
            at,
            enrollment=enrollment_id,
            step=step_id,
            reason=DOUBT,
        )
        await enrollments.move_past(enrollment_id, step_id, at, now=at)
    return count


async def _due(
    enrollments: Enrollments, enrollment_id: int, restore: Restore
) -> AsyncIterator[tuple[int, str, datetime]]:
    """The contact's next step, for as long as it may have been sent."""
    last = None
    for _ in range(MANY):
        contact = await enrollments.load(enrollment_id, now=None)
        if contact.status != "active" or contact.step_id is None or contact.due_at is None:
            return
        waits = any(one.id == contact.step_id and one.wait_for is not None for one in contact.plan.steps)
        if (contact.due_at > restore.found_at and not waits) or contact.step_id == last:
            return
        last = contact.step_id
        yield contact.step_id, contact.phone, contact.due_at


async def go_past_settled(pool: Pool, enrollment_id: int) -> None:
    """Moves the contact past each step whose message has an outcome, as its workflow is."""
    enrollments = Enrollments(pool)
    for _ in range(MANY):
        contact = await enrollments.load(enrollment_id, now=None)
        if contact.status != "active" or contact.step_id is None:
            return
        row = await pool.fetchrow(SELECT_SETTLED, sequence_message_id(contact.step_id, contact.phone))
        if row is None:
            return
        unsent = row["status"] in ("expired", "cancelled")
        await enrollments.move_past(enrollment_id, contact.step_id, row["at"], unsent=unsent, now=None)


async def enroll_again(
    pool: Pool,
    request: EnrollmentRequest,
    *,
    enrollment_id: int,
    workflow_id: str,
    run_id: str,
    now: datetime,
) -> NotEnrolled | None:
    """Stores an enrollment that a restore has undone, under the ID that its workflow knows.

    Answers why not, if its phone may not be enrolled now. Raises NotFound if there is no such sequence, and Conflict.
    """
    outcome = await Enrollments(pool).enroll(request, workflow_id=workflow_id, run_id=run_id, now=now)
    if not isinstance(outcome, Enrolled):
        return outcome
    if outcome.enrollment_id != enrollment_id and not outcome.duplicate:
        async with pool.acquire() as connection, connection.transaction():
            row = await connection.fetchval(SELECT_ROW, outcome.enrollment_id)
            await connection.execute(DELETE_ROW, outcome.enrollment_id)
            await connection.execute(INSERT_ROW, row, enrollment_id)
    return None


async def adopt(pool: Pool, workflow_id: str) -> EnrollmentRequest | None:
    """Makes an active enrollment ready for a new workflow, whose first run takes it; None if it has ended."""
    row = await pool.fetchrow(ADOPT, workflow_id, UNOWNED)
    if row is None:
        return None
    return EnrollmentRequest(sequence=row["name"], lead=Lead(phone=row["phone"], name=row["lead"]))
