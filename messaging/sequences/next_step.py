"""Computes where a contact stands in the plan of its sequence, and what comes next. Pure functions; times are aware
UTC.
"""

from datetime import datetime
from typing import NamedTuple

from messaging.sending.message_ids import sequence_message_id
from messaging.sending.positions import LeftOut, Next, NextPosition
from messaging.times.calendar import (
    Due,
    Plan,
    Scheduled,
    Timeline,
    advance,
    describe,
    left_out,
    next_due,
    rezone,
)
from messaging.times.sending_hours import SendingHours

__all__ = [
    "EnrollmentState",
    "GoOn",
    "after_settling",
    "begun_step",
    "due_of",
    "position_of",
    "skip_to",
    "timeline_of",
]


class GoOn(NamedTuple):
    """A reply that sends the contact on to a step."""

    step_id: int
    at: datetime
    """When it was sent."""
    reason: str


class EnrollmentState(NamedTuple):
    """An enrollment, with the plan that it follows now."""

    enrollment_id: int
    phone: str
    """The one that its message IDs derive from."""
    device_id: str
    status: str
    plan: Plan
    timeline: Timeline
    step_id: int | None
    step: str | None
    due_at: datetime | None
    in_doubt: bool
    """True if the message of that step is claimed, and its outcome is not known yet."""
    paused: str | None
    """Why the contact is paused, if it is."""
    answer: str | None
    """The beginning of the contact's last answer since it was enrolled, with its time."""
    go: GoOn | None
    """Where a reply has sent the contact, if it is not there yet."""
    version: str
    """Changes whenever the row is written."""
    hours: SendingHours
    now: datetime


def after_settling(
    plan: Plan,
    timeline: Timeline,
    step: str,
    planned_at: datetime,
    done_at: datetime,
    hours: SendingHours,
    *,
    phone: str,
    device_id: str,
) -> Next:
    """What comes after the step ``step`` (its key), which was settled at ``done_at``."""
    moved = advance(plan, timeline, step, planned_at, done_at, hours)
    scheduled = next_due(plan, moved, done_at)
    return Next(
        position_of(plan, moved, scheduled, phone), due_of(plan, moved, scheduled, device_id, done_at)
    )


def timeline_of(stored: object, zone: str, replied_at: datetime | None) -> Timeline:
    """A stored timeline, with the time zone and the reply that are known now."""
    timeline = rezone(Timeline.model_validate(stored), zone)
    return timeline.model_copy(update={"replied_at": replied_at})


def begun_step(contact: EnrollmentState) -> Scheduled | None:
    """The step that an attempt has begun and whose outcome is not known yet: an edit must not move the contact past it.
    None for a step that was removed.
    """
    step = next((step for step in contact.plan.steps if step.id == contact.step_id), None)
    if not contact.in_doubt or step is None or contact.due_at is None:
        return None
    return Scheduled(step=step, due_at=contact.due_at)


def skip_to(contact: EnrollmentState, go: GoOn) -> tuple[Timeline, list[Scheduled]]:
    """The contact's calendar at the step to go to, and the steps before it, which it skips.

    They count as skipped when the reply was sent, so ``after`` of the step counts from the reply. None is skipped if
    the step is not in the plan any more, or if the contact has had it.
    """
    timeline, skipped = contact.timeline, list[Scheduled]()
    if go.step_id not in {step.id for step in contact.plan.steps if step.key not in timeline.done}:
        return timeline, skipped
    at = max(go.at, timeline.previous_at or timeline.enrolled_at)
    while (scheduled := next_due(contact.plan, timeline, at)) and scheduled.step.id != go.step_id:
        skipped.append(scheduled)
        timeline = advance(contact.plan, timeline, scheduled.step.key, scheduled.due_at, at, contact.hours)
    return timeline, skipped


def position_of(plan: Plan, timeline: Timeline, scheduled: Scheduled | None, phone: str) -> NextPosition:
    """The contact's position if ``scheduled`` comes next."""
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


def due_of(
    plan: Plan, timeline: Timeline, scheduled: Scheduled | None, device_id: str, now: datetime
) -> Due | None:
    """What comes next, in the form in which workflows get it at ``now``."""
    if scheduled is None:
        return None
    return Due(
        step_id=scheduled.step.id,
        step=scheduled.step.key,
        due_at=scheduled.due_at,
        when=describe(timeline, scheduled),
        revision=plan.revision,
        device_id=device_id,
        wait=scheduled.due_at - now,
        awaits_reply=scheduled.step.wait_for is not None and timeline.replied_at is None,
    )
