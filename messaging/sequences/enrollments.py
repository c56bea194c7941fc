"""Enrollments: one contact in one sequence, and where it stands.

The row of ``sequence_contacts`` belongs to the first run of one workflow. Another run that finds it, be it years
later, ends as a duplicate and sends nothing. Times are aware UTC.
"""

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.read_anew import Changed, read_anew
from messaging.leads.lead import Lead
from messaging.leads.store import upsert_lead
from messaging.sending.claims import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.positions import LeftOut, Next, NextPosition
from messaging.sequences.contract import (
    Enrolled,
    EnrollmentEnd,
    EnrollmentRequest,
    EnrollOutcome,
    Finished,
    NotEnrolled,
)
from messaging.sequences.store import load_plan
from messaging.times.calendar import (
    Due,
    Plan,
    Scheduled,
    Timeline,
    advance,
    begin,
    describe,
    left_out,
    next_due,
    rezone,
)
from messaging.times.sending_hours import SendingHours

__all__ = ["EnrollmentState", "Enrollments", "after_settling", "position_of"]


class EnrollmentState(NamedTuple):
    """An enrollment with the plan that it follows now."""

    enrollment_id: int
    phone: str
    device_id: str
    status: str
    plan: Plan
    timeline: Timeline
    step_id: int | None
    step: str | None
    due_at: datetime | None
    in_doubt: bool
    """Whether an attempt at that step may have reached the gateway, and that is not known yet."""
    paused: str | None
    """Why it is paused, if it is."""
    version: str
    """Another one once the row was written to."""
    hours: SendingHours
    now: datetime


class Plans:
    """The plans in use, by sequence and revision: a revision never changes, so it is read once."""

    def __init__(self, pool: Pool, *, size: int = 256) -> None:
        self._pool = pool
        self._size = size
        self._known: OrderedDict[tuple[int, int], Plan] = OrderedDict()

    async def of(self, sequence_id: int, revision: int, connection: Connection | None = None) -> Plan:
        """The plan of that revision, or of a later one where it was edited again in the meantime.

        ``connection``: the one that the caller has in use; to wait for another while holding it could be for ever.
        """
        key = (sequence_id, revision)
        if key not in self._known:
            plan = await load_plan(connection or self._pool, sequence_id)
            self._known[(sequence_id, plan.revision)] = plan
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            return plan
        return self._known[key]


class Enrollments:
    """Begins, plans and ends enrollments. Safe to share between tasks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._plans = Plans(pool)

    async def enroll(
        self, request: EnrollmentRequest, *, workflow_id: str, run_id: str, now: datetime | None
    ) -> EnrollOutcome:
        """Stores the lead, records the enrollment and consumes the sequence's trigger, all or nothing.

        Nothing of a phone that has opted out, but of the run whose enrollment stands from before. Raises NotFound where
        there is no such sequence and Conflict where no device can be told.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            sequence = await connection.fetchrow(
                "select id, name, trigger, device_id, revision, coalesce($2, clock_timestamp()) as now"
                " from sequences where name = $1",
                request.sequence,
                now,
            )
            if sequence is None:
                raise NotFound(
                    f"there is no sequence {request.sequence!r}: create it with 'sequence apply FILE.yaml'"
                )
            due = None
            existing = await self._row(connection, sequence["id"], request.lead.phone)
            if (existing is None or existing["run_id"] != run_id) and await connection.fetchval(
                "select exists (select from suppressions where phone = $1)", request.lead.phone
            ):
                return NotEnrolled(reason="the recipient has opted out")
            lead_id = await upsert_lead(connection, request.lead)
            if existing is None:
                existing, due = await self._insert(connection, sequence, lead_id, workflow_id, run_id)
            if sequence["trigger"]:
                await connection.execute(
                    "update leads set triggers = array_remove(triggers, $2), updated_at = $3"
                    " where id = $1 and $2 = any(triggers)",
                    lead_id,
                    sequence["trigger"],
                    sequence["now"],
                )
        duplicate = existing["run_id"] != run_id
        if due is not None and due.revision != await self._revision(sequence["id"]):
            due = None  # edited meanwhile: the edit could not see this contact yet, and told only the others
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

    @read_anew
    async def replan(self, enrollment_id: int, *, now: datetime | None) -> Due | None:
        """Plans anew what comes next, by the sequence as it is now, and stores it.

        Messages that wait for a slot of a step which is no longer part of the sequence are cancelled. One that may have
        reached the gateway is settled by the recovery (messaging.sending.recovery).
        """
        contact = await self.load(enrollment_id, now=now)
        if contact.status != "active":
            return None
        scheduled = _begun(contact) or next_due(contact.plan, contact.timeline, contact.now)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "update broadcast_messages m set status = 'cancelled', slot_at = null, updated_at = $2,"
                " reason = 'the step was removed from the sequence'"
                " from sequence_steps s where m.sequence_contact_id = $1 and is_waiting(m.status)"
                " and m.resends = 0"
                " and s.id = m.sequence_stepid and s.removed_at is not null",
                enrollment_id,
                contact.now,
            )
            position = position_of(contact.plan, contact.timeline, scheduled, contact.phone)
            await self._store(connection, contact, position)
        due = _due(contact.plan, contact.timeline, scheduled, contact.device_id, contact.now)
        return due and due.model_copy(update={"paused": contact.paused})

    @read_anew
    async def move_past(
        self,
        enrollment_id: int,
        step_id: int,
        done_at: datetime | None,
        *,
        expired: bool = False,
        now: datetime | None,
    ) -> Due | None:
        """What comes after a step that was settled at ``done_at`` (None: now), by whichever attempt.

        One that has ``expired`` leaves the calendar as it was: as if it had gone out when it was due.
        """
        contact = await self.load(enrollment_id, now=now)
        current = contact.step_id == step_id and contact.status == "active"
        if current and contact.step is not None and contact.due_at is not None:
            position, _ = after_settling(
                contact.plan,
                contact.timeline,
                contact.step,
                contact.due_at,
                done_at or (contact.due_at if expired else contact.now),
                contact.hours,
                phone=contact.phone,
                device=contact.device_id,
            )
            async with self._pool.acquire() as connection, connection.transaction():
                await self._store(connection, contact, position)
        return await self.replan(enrollment_id, now=now)

    @read_anew
    async def skip(self, enrollment_id: int, step: str, *, now: datetime | None) -> bool:
        """Leaves the contact's current step out, with a row in the ledger that says so; False if it was skipped before.

        Raises Conflict where ``step`` (its key) is another one, or is being sent or settled already.
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
        position, _ = after_settling(
            contact.plan,
            contact.timeline,
            contact.step,
            contact.due_at,
            max(contact.now, contact.due_at),
            contact.hours,
            phone=contact.phone,
            device=contact.device_id,
        )
        async with self._pool.acquire() as connection, connection.transaction():
            message = await connection.fetchrow(
                "insert into broadcast_messages as m (id, sequence_stepid, sequence_contact_id, lead_id,"
                " recipient_phone, device_id, due_at, status, reason)"
                " select $1, $2, id, lead_id, phone, device_id, $4, 'cancelled', 'skipped by an operator'"
                " from sequence_contacts where id = $3"
                " on conflict (id) do update set"
                " status = case when is_waiting(m.status) then 'cancelled' else m.status end,"
                " reason = case when is_waiting(m.status) then excluded.reason else m.reason end,"
                " slot_at = null, updated_at = clock_timestamp()"
                " returning status, claimed_at + claim_life(m, $5, $6) > coalesce($7, clock_timestamp()) as held",
                sequence_message_id(contact.step_id, contact.phone),
                contact.step_id,
                enrollment_id,
                contact.due_at,
                CLAIM_LIFETIME,
                longer_lifetimes(),
                now,
            )
            assert message is not None
            if message["status"] == "processing" and message["held"]:
                raise Conflict(f"{step!r} is being sent just now")
            if message["status"] not in ("processing", "cancelled"):
                raise Conflict(f"{step!r} is {message['status']} already")
            # One in doubt is settled by the recovery, and not sent again: the contact is past it.
            await self._store(connection, contact, position)
        return True

    async def _was_skipped(self, enrollment_id: int, step: str) -> bool:
        skipped: bool = await self._pool.fetchval(
            "select exists (select from broadcast_messages m join sequence_steps t on t.id = m.sequence_stepid"
            " where m.sequence_contact_id = $1 and t.key = $2 and m.status = 'cancelled')",
            enrollment_id,
            step,
        )
        return skipped

    async def finish(self, end: EnrollmentEnd, *, now: datetime | None) -> Finished:
        """Ends an enrollment and closes what no attempt of it holds; ending it again changes nothing.

        What an attempt holds or has held is settled by that attempt, or by the recovery (messaging.sending.recovery).
        A completed one passes the lead on: it bears ``next_trigger`` from now on, and is to be enrolled into the
        active sequence of that trigger, if there is one that it has not been through.
        """
        if end.status == "completed" and await self._was_edited(end.enrollment_id):
            # While the last step was being sent: there may be more, or a step that lies before it now.
            following = await self.replan(end.enrollment_id, now=now)
            if following is not None:
                return Finished(status="completed", next=following)
        async with self._pool.acquire() as connection, connection.transaction():
            # Messages are locked before enrollments, here as everywhere.
            await connection.execute(
                "select from broadcast_messages where sequence_contact_id = $1"
                " and is_waiting(status) for no key update",
                end.enrollment_id,
            )
            await connection.execute(
                "update sequence_contacts set status = $2, reason = $3, next_step_id = null, next_due_at = null,"
                " ended_at = coalesce($4, clock_timestamp()) where id = $1 and status = 'active'",
                end.enrollment_id,
                end.status,
                end.reason,
                now,
            )
            row = await connection.fetchrow(
                "select status, reason from sequence_contacts where id = $1", end.enrollment_id
            )
            assert row is not None
            await connection.execute(
                "update broadcast_messages set status = $3, reason = $2, slot_at = null,"
                " updated_at = clock_timestamp()"
                # What an operator has sent again goes out all the same, unless the contact wants nothing more.
                " where sequence_contact_id = $1 and is_waiting(status)"
                " and (resends = 0 or $3 = 'suppressed')",
                end.enrollment_id,
                row["reason"] or row["status"],
                "suppressed" if row["status"] == "opted_out" else "cancelled",
            )
            follow_up = (
                await self._follow_up(connection, end.enrollment_id) if row["status"] == "completed" else None
            )
        return Finished(status=row["status"], reason=row["reason"], follow_up=follow_up)

    async def _was_edited(self, enrollment_id: int) -> bool:
        """Whether the contact follows an older plan than its sequence has now."""
        edited: bool = await self._pool.fetchval(
            "select exists (select from sequence_contacts c join sequences s on s.id = c.sequence_id"
            " where c.id = $1 and c.status = 'active' and c.plan_revision < s.revision)",
            enrollment_id,
        )
        return edited

    async def load(self, enrollment_id: int, *, now: datetime | None) -> EnrollmentState:
        """The enrollment as stored, with the present plan of its sequence, and in the zone that is known now."""
        row = await self._pool.fetchrow(
            "select c.*, c.xmin::text as version, s.revision, t.key as step, d.opens_at, d.closes_at, d.time_zone,"
            " coalesce(l.time_zone, s.time_zone) as zone, coalesce($2, clock_timestamp()) as now,"
            " exists (select from broadcast_messages m where m.sequence_contact_id = c.id"
            "   and m.sequence_stepid = c.next_step_id and m.status = 'processing') as in_doubt"
            " from sequence_contacts c join sequences s on s.id = c.sequence_id join devices d on d.id = c.device_id"
            " join leads l on l.id = c.lead_id"
            " left join sequence_steps t on t.id = c.next_step_id where c.id = $1",
            enrollment_id,
            now,
        )
        if row is None:
            raise NotFound(f"there is no enrollment {enrollment_id}")
        return EnrollmentState(
            enrollment_id=enrollment_id,
            phone=row["phone"],
            device_id=row["device_id"],
            status=row["status"],
            plan=await self._plans.of(row["sequence_id"], row["revision"]),
            timeline=rezone(Timeline.model_validate(row["timeline"]), row["zone"]),
            step_id=row["next_step_id"],
            step=row["step"],
            hours=SendingHours(
                opens_at=row["opens_at"], closes_at=row["closes_at"], time_zone=row["time_zone"]
            ),
            due_at=row["next_due_at"],
            in_doubt=row["in_doubt"],
            paused=(row["paused_reason"] or "paused by an operator") if row["paused_at"] else None,
            version=row["version"],
            now=row["now"],
        )

    async def of_another_zone(self, phone: str) -> list[str]:
        """The workflows of the phone's contacts whose plan was made for another time zone than is known now."""
        rows = await self._pool.fetch(
            "select c.workflow_id from sequence_contacts c join sequences s on s.id = c.sequence_id"
            " join leads l on l.id = c.lead_id where c.phone = $1 and c.status = 'active'"
            " and c.timeline ->> 'zone' <> coalesce(l.time_zone, s.time_zone)",
            phone,
        )
        return [row["workflow_id"] for row in rows]

    async def plan_of(self, sequence_id: int, revision: int) -> Plan:
        """The plan of a sequence at a revision (or a later one)."""
        return await self._plans.of(sequence_id, revision)

    async def _revision(self, sequence_id: int) -> int | None:
        revision: int | None = await self._pool.fetchval(
            "select revision from sequences where id = $1", sequence_id
        )
        return revision

    @staticmethod
    async def _row(connection: Connection, sequence_id: int, phone: str) -> Record | None:
        return await connection.fetchrow(
            "select id, run_id, status, reason, device_id from sequence_contacts"
            " where sequence_id = $1 and phone = $2",
            sequence_id,
            phone,
        )

    async def _insert(
        self, connection: Connection, sequence: Record, lead_id: int, workflow_id: str, run_id: str
    ) -> tuple[Record, Due | None]:
        """The contact's row, and what comes first where the row is a new one."""
        lead = await connection.fetchrow(
            "select phone, time_zone, device_in_use(coalesce(device_id, $2, only_device())) as device_id"
            " from leads where id = $1",
            lead_id,
            sequence["device_id"],
        )
        assert lead is not None
        if lead["device_id"] is None:
            raise Conflict(
                f"{lead['phone']} has no device to be written to from: import the lead with '--device',"
                f" or give the sequence {sequence['name']!r} a 'device'"
            )
        plan = await self._plans.of(sequence["id"], sequence["revision"], connection)
        timeline = begin(plan, lead["time_zone"], sequence["now"])
        scheduled = next_due(plan, timeline, sequence["now"])
        position = position_of(plan, timeline, scheduled, lead["phone"])
        row = await connection.fetchrow(
            "insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id,"
            " timeline, plan_revision, next_step_id, next_due_at, enrolled_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            " on conflict (sequence_id, phone) do nothing returning id, run_id, status, reason, device_id",
            sequence["id"],
            lead_id,
            lead["phone"],
            lead["device_id"],
            workflow_id,
            run_id,
            position.timeline.model_dump(mode="json"),
            position.plan_revision,
            position.next_step_id,
            position.next_due_at,
            sequence["now"],
        )
        if row is not None:
            return row, _due(plan, timeline, scheduled, row["device_id"], sequence["now"])
        row = await self._row(connection, sequence["id"], lead["phone"])
        assert row is not None, "another run was faster"
        return row, None

    @staticmethod
    async def _store(connection: Connection, contact: EnrollmentState, position: NextPosition) -> None:
        """Raises Changed where another has written to the enrollment since; in a transaction, which is undone then."""
        if not await connection.fetchval(
            "select true from sequence_contacts where id = $1 and xmin::text = $2 for no key update",
            contact.enrollment_id,
            contact.version,
        ):
            raise Changed
        await connection.execute(
            "select move_contact($1, $2)", contact.enrollment_id, position.model_dump(mode="json")
        )

    @staticmethod
    async def _follow_up(connection: Connection, enrollment_id: int) -> EnrollmentRequest | None:
        row = await connection.fetchrow(
            "select l.id, l.phone, l.name, s.next_trigger, f.name as follow_up"
            " from sequence_contacts c join leads l on l.id = c.lead_id join sequences s on s.id = c.sequence_id"
            " left join sequences f on f.trigger = s.next_trigger"
            " where c.id = $1 and c.status = 'completed' and s.next_trigger is not null and not exists"
            " (select from sequence_contacts o where o.sequence_id = f.id and o.phone = c.phone)",
            enrollment_id,
        )
        if row is None:
            return None
        await connection.execute(
            "update leads set triggers = array_append(triggers, $2), updated_at = clock_timestamp()"
            " where id = $1 and not $2 = any(triggers)",
            row["id"],
            row["next_trigger"],
        )
        if row["follow_up"] is None:
            return None
        lead = Lead(phone=row["phone"], name=row["name"])
        return EnrollmentRequest(sequence=row["follow_up"], lead=lead, local=True)


def after_settling(
    plan: Plan,
    timeline: Timeline,
    step: str,
    planned_at: datetime,
    done_at: datetime,
    hours: SendingHours,
    *,
    phone: str,
    device: str,
) -> Next:
    """What comes after a step (its key) that was settled at ``done_at``."""
    moved = advance(plan, timeline, step, planned_at, done_at, hours)
    scheduled = next_due(plan, moved, done_at)
    return Next(position_of(plan, moved, scheduled, phone), _due(plan, moved, scheduled, device))


def _begun(contact: EnrollmentState) -> Scheduled | None:
    """The step that an attempt has begun with, where it is not known yet what came of it: an edit does not overtake it.

    A step that was removed is not waited for.
    """
    step = next((step for step in contact.plan.steps if step.id == contact.step_id), None)
    if not contact.in_doubt or step is None or contact.due_at is None:
        return None
    return Scheduled(step=step, due_at=contact.due_at)


def position_of(plan: Plan, timeline: Timeline, scheduled: Scheduled | None, phone: str) -> NextPosition:
    """Where a contact stands when that comes next."""
    return NextPosition(
        timeline=timeline,
        next_step_id=scheduled.step.id if scheduled else None,
        next_due_at=scheduled.due_at if scheduled else None,
        plan_revision=plan.revision,
        left_out=tuple(
            LeftOut(step_id=step.id, message_id=sequence_message_id(step.id, phone))
            for step in left_out(plan, timeline.done)
        ),
    )


def _due(
    plan: Plan, timeline: Timeline, scheduled: Scheduled | None, device_id: str, now: datetime | None = None
) -> Due | None:
    if scheduled is None:
        return None
    return Due(
        step_id=scheduled.step.id,
        step=scheduled.step.key,
        due_at=scheduled.due_at,
        when=describe(timeline, scheduled),
        revision=plan.revision,
        device_id=device_id,
        already_due=now is not None and scheduled.due_at <= now,
    )
