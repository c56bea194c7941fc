"""Stores enrollments: one contact in one sequence, and where it stands.

The row of ``sequence_contacts`` belongs to the first run of one workflow. Another run that finds it, even years later,
ends as a duplicate and sends nothing. Times are aware UTC.
"""

from collections.abc import Sequence
from datetime import datetime

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.optimistic_locking import Changed, retry_on_change
from messaging.common.storable import storable
from messaging.events.acting import Actor, present_actor
from messaging.events.record import act_as, note
from messaging.leads.store import upsert_lead
from messaging.sending.positions import NextPosition
from messaging.sequences.contract import (
    Enrolled,
    EnrollmentEnd,
    EnrollmentRequest,
    EnrollOutcome,
    Finished,
)
from messaging.sequences.joining import find_enrollment, insert_enrollment, why_not, why_paused
from messaging.sequences.leaving import end_enrollment
from messaging.sequences.next_step import (
    EnrollmentState,
    GoOn,
    after_settling,
    begun_step,
    due_of,
    position_of,
    skip_to,
    timeline_of,
)
from messaging.sequences.plans import Plans
from messaging.sequences.skipping import cancel_step
from messaging.times.calendar import Due, Plan, Scheduled, next_due
from messaging.times.local_time import format_moment, load_zone
from messaging.times.sending_hours import SendingHours

__all__ = ["Enrollments"]

FIRST_WORDS = 40
"""Characters of an answer that the Web UI shows."""

SELECT_SEQUENCE = """
select id, name, trigger, device_id, category, revision, require_consent, coalesce($2, clock_timestamp()) as now,
       hold_phone($3) as phone
  from sequences
 where name = $1
"""

CONSUME_TRIGGER = """
update leads
   set triggers = array_remove(triggers, $2), updated_at = $3
 where id = $1 and $2 = any (triggers)
"""

# zone: the contact's time zone as it is known now. key: the phone that its message IDs derive from. replied_at: only where
# a step of the sequence waits for a reply.
SELECT_STATE = """
select c.*, coalesce(c.key_phone, c.phone) as key, c.xmin::text as version, s.revision, t.key as step, d.opens_at, d.closes_at, d.time_zone,
       coalesce(l.time_zone, s.time_zone) as zone, coalesce($2, clock_timestamp()) as now,
       case when exists (select from sequence_steps w
                          where w.sequence_id = c.sequence_id and w.wait_for is not null and w.removed_at is null)
            then first_reply(c) end as replied_at,
       exists (select from broadcast_messages m
                where m.sequence_contact_id = c.id and m.sequence_stepid = c.next_step_id
                  and m.status = 'processing') as in_doubt,
       a.said as answer, a.sent_at as answer_at
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join devices d on d.id = c.device_id
  join leads l on l.id = c.lead_id
  left join sequence_steps t on t.id = c.next_step_id
  left join lateral (select coalesce(i.text, i.payload, '(' || i.kind || ')') as said, i.sent_at
                       from inbound_messages i
                      where i.phone = c.phone and i.sent_at >= date_trunc('second', c.enrolled_at) and is_answer(i)
                      order by i.sent_at desc, i.id desc
                      limit 1) a on true
 where c.id = any ($1)
 order by c.id
"""

SELECT_OF_ANOTHER_ZONE = """
select c.workflow_id
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join leads l on l.id = c.lead_id
 where c.phone = $1 and c.status = 'active' and c.timeline ->> 'zone' <> coalesce(l.time_zone, s.time_zone)
"""

# True if the contact follows an older plan than its sequence has now.
IS_EDITED = """
select exists (select from sequence_contacts c
                 join sequences s on s.id = c.sequence_id
                where c.id = $1 and c.status = 'active' and c.plan_revision < s.revision)
"""

CANCEL_REMOVED_STEPS = """
update broadcast_messages m
   set status = 'cancelled', slot_at = null, updated_at = $2, reason = 'the step was removed from the sequence'
  from sequence_steps s
 where m.sequence_contact_id = $1 and is_waiting(m.status) and m.resends = 0
   and s.id = m.sequence_stepid and s.removed_at is not null
"""

MARK_TO_SIGNAL = (
    "update sequence_contacts set plan_changed_at = clock_timestamp() where id = $1 returning phone"
)

FORGET_WANTED = """
delete from wanted_enrollments
 where sequence_id = $1 and phone = $2
returning actor, via, paused_at, paused_reason
"""

WAS_SKIPPED = """
select exists (select from broadcast_messages m
                 join sequence_steps t on t.id = m.sequence_stepid
                where m.sequence_contact_id = $1 and t.key = $2 and m.status = 'cancelled'
                  and m.reason = 'skipped by an operator')
"""

LOCK_UNCHANGED = """
select true
  from sequence_contacts
 where id = $1 and xmin::text = $2
   for no key update
"""


class Enrollments:
    """Begins, plans and ends enrollments. Safe to share between tasks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._plans = Plans(pool)

    async def enroll(
        self, request: EnrollmentRequest, *, workflow_id: str, run_id: str, now: datetime | None
    ) -> EnrollOutcome:
        """Stores the lead and the enrollment, and consumes the sequence's trigger, all or nothing.

        Stores nothing for a phone that has opted out of such messages, or whose lead has not consented where the sequence
        requires it, except for the run that already has an enrollment. Raises
        NotFound if there is no such sequence, and Conflict if no device can be found.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            given = request.lead.phone
            sequence = await connection.fetchrow(SELECT_SEQUENCE, request.sequence, now, given)
            if sequence is None:
                raise NotFound(
                    f"there is no sequence {request.sequence!r}: create it with 'sequence apply FILE.yaml'"
                )
            due = None
            existing = await find_enrollment(connection, sequence["id"], sequence["phone"], given, run_id)
            request = _with_phone(request, existing["phone"] if existing is not None else sequence["phone"])
            if existing is None or existing["run_id"] != run_id:
                required = existing is None and sequence["require_consent"]
                refused = await why_not(
                    connection, request.lead, sequence["category"], require_consent=required
                )
                if refused is not None:
                    await connection.execute(FORGET_WANTED, sequence["id"], request.lead.phone)
                    return refused
            # After the lead, which is locked in this order where an inbound message wants the enrollment.
            lead_id = await upsert_lead(connection, request.lead)
            wanted = await connection.fetchrow(FORGET_WANTED, sequence["id"], request.lead.phone)
            if wanted is not None and wanted["actor"] is not None and present_actor() is None:
                await act_as(connection, Actor(wanted["actor"], wanted["via"]))
            if existing is None:
                existing, due = await insert_enrollment(
                    connection, self._plans, sequence, lead_id, workflow_id, run_id, given, wanted
                )
            if sequence["trigger"]:
                await connection.execute(CONSUME_TRIGGER, lead_id, sequence["trigger"], sequence["now"])
        duplicate = existing["run_id"] != run_id
        if due is not None and due.revision != await self._revision(sequence["id"]):
            due = None  # edited in between: the edit did not see this contact yet, and replanned only the others
        if due is None and not duplicate and existing["status"] == "active":
            due = await self.replan(existing["id"], now=now)
        return Enrolled(
            duplicate=duplicate,
            enrollment_id=existing["id"],
            device_id=existing["device_id"],
            status=existing["status"],
            reason=existing["reason"],
            next=due,
        )

    @retry_on_change
    async def replan(self, enrollment_id: int, *, now: datetime | None) -> Due | None:
        """Plans what comes next by the sequence as it is now, and stores it.

        Cancels waiting messages of steps that were removed from the sequence. A message that may have reached the
        gateway is settled by the recovery (messaging.sending.recovery).
        """
        contact = await self.load(enrollment_id, now=now)
        if contact.status != "active":
            return None
        begun, timeline, skipped = begun_step(contact), contact.timeline, list[Scheduled]()
        if contact.go is not None and begun is None:
            timeline, skipped = skip_to(contact, contact.go)
        scheduled = begun or next_due(contact.plan, timeline, contact.now)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(CANCEL_REMOVED_STEPS, enrollment_id, contact.now)
            for one in skipped:
                reason = f"skipped: {contact.go and contact.go.reason}"
                message = await cancel_step(connection, contact, one.step.id, one.due_at, reason)
                if message["status"] == "processing":
                    raise Changed  # an attempt has just begun it
            position = position_of(contact.plan, timeline, scheduled, contact.phone)
            gone = contact.go is not None and begun is None
            await self._store(connection, contact, position.model_copy(update={"gone": gone}))
        due = due_of(contact.plan, timeline, scheduled, contact.device_id, contact.now)
        return due and due.model_copy(update={"paused": contact.paused, "answer": contact.answer})

    @retry_on_change
    async def move_past(
        self,
        enrollment_id: int,
        step_id: int,
        done_at: datetime | None,
        *,
        unsent: bool = False,
        now: datetime | None,
    ) -> Due | None:
        """Moves the contact on after a step that any attempt settled at ``done_at`` (None: now), and answers what comes
        next.

        A step that was ``unsent``, because it expired or was passed over, leaves the calendar as it was, as if it had gone
        out when it was due.
        """
        contact = await self.load(enrollment_id, now=now)
        current = contact.step_id == step_id and contact.status == "active"
        if current and contact.step is not None and contact.due_at is not None:
            position, _ = after_settling(
                contact.plan,
                contact.timeline,
                contact.step,
                contact.due_at,
                done_at or (contact.due_at if unsent else contact.now),
                contact.hours,
                phone=contact.phone,
                device_id=contact.device_id,
            )
            async with self._pool.acquire() as connection, connection.transaction():
                await self._store(connection, contact, position)
        return await self.replan(enrollment_id, now=now)

    @retry_on_change
    async def skip(self, enrollment_id: int, step: str, *, now: datetime | None) -> bool:
        """Skips the contact's current step, with a row in the ledger that says so; False if it was skipped before.

        Raises Conflict if ``step`` (its key) is not the current one, is being sent or is settled.
        """
        contact = await self.load(enrollment_id, now=now)
        if step in contact.timeline.done and await self._was_skipped(enrollment_id, step):
            return False
        if (
            contact.status != "active"
            or contact.step_id is None
            or contact.step is None
            or contact.due_at is None
        ):
            raise Conflict("the contact has left the sequence")
        if contact.step != step:
            raise Conflict(f"the current step is {contact.step!r}, not {step!r}")
        # What waits for a reply has no moment of its own: the next step counts from now.
        waits = any(one.id == contact.step_id and one.wait_for is not None for one in contact.plan.steps)
        position, _ = after_settling(
            contact.plan,
            contact.timeline,
            contact.step,
            contact.due_at,
            contact.now if waits else max(contact.now, contact.due_at),
            contact.hours,
            phone=contact.phone,
            device_id=contact.device_id,
        )
        async with self._pool.acquire() as connection, connection.transaction():
            message = await cancel_step(
                connection, contact, contact.step_id, contact.due_at, "skipped by an operator", now
            )
            if message["status"] == "processing" and message["held"]:
                raise Conflict(f"{step!r} is being sent just now")
            if message["status"] not in ("processing", "cancelled"):
                raise Conflict(f"{step!r} is {message['status']} already")
            # A message in doubt is settled by the recovery and not sent again, as the contact is past the step.
            await self._store(connection, contact, position)
            present = await connection.fetchval(MARK_TO_SIGNAL, enrollment_id)
            await note(
                connection,
                "contact.skipped",
                phone=present,
                sequence=contact.plan.sequence,
                device=contact.device_id,
                step=step,
            )
        return True

    async def _was_skipped(self, enrollment_id: int, step: str) -> bool:
        skipped: bool = await self._pool.fetchval(WAS_SKIPPED, enrollment_id, step)
        return skipped

    async def finish(
        self, end: EnrollmentEnd, *, now: datetime | None, by_workflow: bool = False
    ) -> Finished:
        """Ends an enrollment and closes its messages that no attempt holds. Ending it again changes nothing.

        ``by_workflow``: the contact's own workflow calls this, so it needs no signal about the end. A message that an
        attempt holds or has held is settled by that attempt, or by the recovery (messaging.sending.recovery). When an
        enrollment is completed, the lead gets ``next_trigger``, and is to enter the sequence of that trigger, if there
        is one that it has not been through.
        """
        if end.status == "completed" and await self._pool.fetchval(IS_EDITED, end.enrollment_id):
            # The sequence was edited while the last step was being sent: there may be another step to send.
            following = await self.replan(end.enrollment_id, now=now)
            if following is not None:
                return Finished(status="completed", next=following)
        async with self._pool.acquire() as connection, connection.transaction():
            return await end_enrollment(connection, end, now=now, by_workflow=by_workflow)

    async def load(self, enrollment_id: int, *, now: datetime | None) -> EnrollmentState:
        """The stored enrollment, with the present plan of its sequence and the time zone that is known now."""
        for found in await self.load_many([enrollment_id], now=now):
            return found
        raise NotFound(f"there is no enrollment {enrollment_id}")

    async def load_many(
        self, enrollment_ids: Sequence[int], *, now: datetime | None
    ) -> list[EnrollmentState]:
        """The same of several, by their IDs."""
        return [
            await self._state(row) for row in await self._pool.fetch(SELECT_STATE, list(enrollment_ids), now)
        ]

    async def _state(self, row: Record) -> EnrollmentState:
        return EnrollmentState(
            enrollment_id=row["id"],
            phone=row["key"],
            device_id=row["device_id"],
            status=row["status"],
            plan=await self._plans.of(row["sequence_id"], row["revision"]),
            timeline=timeline_of(row["timeline"], row["zone"], row["replied_at"]),
            step_id=row["next_step_id"],
            step=row["step"],
            hours=SendingHours(
                opens_at=row["opens_at"], closes_at=row["closes_at"], time_zone=row["time_zone"]
            ),
            due_at=row["next_due_at"],
            in_doubt=row["in_doubt"],
            paused=why_paused(row),
            answer=_answer(row),
            go=GoOn(row["go_step_id"], row["go_at"], row["go_reason"]) if row["go_step_id"] else None,
            version=row["version"],
            now=row["now"],
        )

    async def of_another_zone(self, phone: str) -> list[str]:
        """The workflows of the phone's contacts whose plan was made for another time zone than the one known now."""
        rows = await self._pool.fetch(SELECT_OF_ANOTHER_ZONE, phone)
        return [row["workflow_id"] for row in rows]

    async def plan_of(self, sequence_id: int, revision: int) -> Plan:
        """The plan of a sequence at this revision, or a later one."""
        return await self._plans.of(sequence_id, revision)

    async def _revision(self, sequence_id: int) -> int | None:
        revision: int | None = await self._pool.fetchval(
            "select revision from sequences where id = $1", sequence_id
        )
        return revision

    @staticmethod
    async def _store(connection: Connection, contact: EnrollmentState, position: NextPosition) -> None:
        """Raises Changed if the enrollment was changed since it was read. Call it in a transaction, which is undone
        then.
        """
        if not await connection.fetchval(LOCK_UNCHANGED, contact.enrollment_id, contact.version):
            raise Changed
        await connection.execute(
            "select move_contact($1, $2)", contact.enrollment_id, position.model_dump(mode="json")
        )


def _with_phone(request: EnrollmentRequest, phone: str) -> EnrollmentRequest:
    """The same request for the phone that its lead has now."""
    return request.model_copy(update={"lead": request.lead.model_copy(update={"phone": phone})})


def _answer(row: Record) -> str | None:
    """The last answer as the Web UI shows it."""
    if row["answer"] is None:
        return None
    words = storable(" ".join(row["answer"].split()), FIRST_WORDS)
    return f'"{words}", {format_moment(row["answer_at"], load_zone(row["zone"]))}'
