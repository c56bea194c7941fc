"""When a step of a sequence is due for one contact: pure functions, without a clock and without I/O.

A contact has a calendar of its own. *Planned* is where that calendar puts a step, *due* is when it is to be
sent: the two differ only while a contact runs late. Local means: in the contact's zone, else the sequence's.

    rule                what it says
    ------------------  -----------------------------------------------------------------------------------
    which step          The first active step after the last active one that is done. A step that an edit put
                        before one that is done is left out, or comes next where it has ``missed: send``.
    day N, at           The local time ``at`` on day N. Day 1 is the local date of the enrollment.
    passed              A step whose time on its day lies before the enrollment, or before the step that it
                        follows, comes on the next day on which it does not, and all later days move with it.
                        So day 1 is tomorrow where the first step's time has passed. Equal has not passed.
    day N, no at        The first step on day 1: at once. A first step on a later day: at the local time of the
                        enrollment. All others: whole days after the first actual send, at its local time.
    after               So long after the actual moment of the step before it, in elapsed time; for the first
                        step, after the enrollment.
    wait_for            As soon as the contact replies to the last message that went out, and at the latest so
                        long after the step before as 'after' would have it. Its place in the calendar is where it
                        was done; only what comes after the longest wait is late.
    late                A step that goes out late moves all later days by the delay, rounded to whole days (12
                        hours are one day, less is none), so that local times stay. If the next step would
                        then come sooner than half the planned gap after the actual send, it comes the whole
                        planned gap after it, at whatever local time. Lateness adds up from step to step.
    expired             A step that was over before it could go out, or whose condition was false, leaves the
    passed over         calendar as it was: the next one comes as if it had gone out when it was due.
    closed hours        Waiting from the planned moment for the device's sending hours is no delay: they close
                        every day, and a step at such an hour would move all the others day after day.
    skip_weekends       What falls on a local Saturday or Sunday comes on Monday at the same local time. The wait
                        is a delay like any other: later days move with it. That holds for every step: ``day``,
                        ``after``, the one due at once, one that is late, and one that had passed when next_due()
                        is asked on a weekend.
    clocks that jump    A skipped local time moves forward by the gap, a repeated one means the first; see
                        messaging.times.local_time. Where a zone skips a whole date, later days move with it.
    edits               The next step follows from the present plan and from what the contact has had. A step
                        moved into the past is due in the past, which means now, and the rule for late
                        steps keeps the gaps from there on. The time of the first send stays.
    corrected zones     A contact follows the zone that is known now, and what has happened stays as it was: the
                        moment at which day 1 was planned is read on the new zone's clocks, and its date there is
                        day 1. Days with ``at`` come at that time of the new zone; all others keep their moments.
"""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from messaging.common.values import Value
from messaging.times.durations import format_duration
from messaging.times.local_time import as_utc, load_zone, moment_of, wall_of
from messaging.times.sending_hours import SendingHours

__all__ = [
    "Due",
    "Missed",
    "Plan",
    "PlanStep",
    "Scheduled",
    "Timeline",
    "advance",
    "begin",
    "caught_up",
    "describe",
    "left_out",
    "next_due",
    "rezone",
]


class Due(Value):
    """The next step of a contact, and when it is due."""

    step_id: int
    step: str
    due_at: datetime
    when: str
    """The due moment in words, e.g. ``day 3, 10:00 Asia/Kuala_Lumpur``."""
    revision: int
    """The revision of the sequence that this follows from."""
    device_id: str
    """The device that sends it, as of now."""
    paused: str | None = None
    """Why the contact was paused when this was answered, if it was."""
    answer: str | None = None
    """The beginning of the contact's last answer in this sequence, with its time; for people to read."""
    wait: timedelta
    """The time until it is due, by the clock that answered; zero or less if it is due already. A workflow must use this
    and not its own clock, which after a local activity may show another moment in a replay.
    """
    awaits_reply: bool = False
    """True if the step comes sooner should the contact reply."""


_DAY = timedelta(days=1)
_SATURDAY = 5
Missed = Literal["send", "leave_out"]
"""What happens to a step for contacts that are past its place and have not had it."""

_Utc = Annotated[AwareDatetime, AfterValidator(as_utc)]


class PlanStep(Value):
    """When one step comes: on a ``day`` (from 1), optionally ``at`` a local time; some time ``after`` the step before; or
    when the contact replies, after at most ``wait_for``.
    """

    id: int
    key: str
    day: Annotated[int, Field(ge=1)] | None = None
    at: time | None = None
    after: Annotated[timedelta, Field(ge=timedelta(0))] | None = None
    wait_for: Annotated[timedelta, Field(gt=timedelta(0))] | None = None
    missed: Missed = "leave_out"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if [self.day, self.after, self.wait_for].count(None) != 2:
            raise ValueError(f"step {self.key} needs either day, after or wait_for")
        if self.at is not None and (self.day is None or self.at.tzinfo is not None):
            raise ValueError(f"step {self.key}: at is a local time without an offset, and goes with day")
        return self


class Plan(Value):
    """The active steps of a sequence in order, as of one revision."""

    sequence_id: int
    sequence: str
    revision: int
    time_zone: str
    skip_weekends: bool = False
    steps: tuple[PlanStep, ...]


class Timeline(Value):
    """One contact's calendar in one sequence: what next_due() needs besides the plan."""

    zone: str
    """IANA name: the contact's zone, else the sequence's."""
    enrolled_at: _Utc
    day_one: date | None = None
    """The date from which days with ``at`` count, with all delays; unset until the first step is done."""
    first_send_day_one: date | None = None
    """The same for days without ``at``: they follow the first actual send, across midnight too."""
    day_one_time: time | None = None
    """The local time of day of the first actual send."""
    first_planned_time: time | None = None
    """The local time of day at which that was planned; the gaps of days without ``at`` follow from it."""
    previous_planned_at: _Utc | None = None
    """Where the calendar, with all delays in whole days, had the step done last."""
    previous_at: _Utc | None = None
    """When the step done last was really done."""
    replied_at: _Utc | None = None
    """When the contact replied to the last message that went out; only a step that waits for a reply needs it."""
    done: tuple[str, ...] = ()
    """The keys of the steps settled or skipped, in the order in which that happened."""


class Scheduled(Value):
    """The next step of a contact and the moment it is due; one in the past is due at once."""

    step: PlanStep
    due_at: _Utc


def begin(plan: Plan, zone: str | None, enrolled_at: datetime) -> Timeline:
    """The calendar of a contact that enters the sequence. Raises InvalidInput for an unknown zone."""
    name = zone or plan.time_zone
    load_zone(name)
    return Timeline(zone=name, enrolled_at=as_utc(enrolled_at))


def next_due(plan: Plan, timeline: Timeline, now: datetime) -> Scheduled | None:
    """The next step and when it is due, or None when nothing is left.

    The moment may lie in the past: then the step is due at once. Only ``skip_weekends`` looks at ``now``.
    """
    step = _next_step(plan, timeline)
    if step is None:
        return None
    zone = load_zone(timeline.zone)
    due = _place(plan, timeline, step).due
    today = wall_of(as_utc(now), zone)
    if plan.skip_weekends and due < now and today.weekday() >= _SATURDAY:
        due = moment_of(_monday(datetime.combine(today, wall_of(due, zone).time())), zone)
    return Scheduled(step=step, due_at=due)


def advance(
    plan: Plan,
    timeline: Timeline,
    step_key: str,
    planned_at: datetime,
    done_at: datetime,
    hours: SendingHours | None = None,
) -> Timeline:
    """The calendar after a step was settled or skipped.

    ``planned_at`` is the ``due_at`` that next_due() gave; it counts where an edit has removed the step meanwhile.
    ``done_at`` is the actual moment; for a skipped step, the later of now and ``planned_at``.
    ``hours`` are those of the contact's device; None: it always sends.
    """
    zone = load_zone(timeline.zone)
    done_at = as_utc(done_at)
    step = next((step for step in plan.steps if step.key == step_key), None)
    if step is None:
        planned_at = as_utc(planned_at)
        placed = _Placed(planned_at, planned_at, wall_of(planned_at, zone), 0)
    else:
        placed = _place(plan, timeline.model_copy(update={"replied_at": done_at}), step)
    possible_at = hours.next_opening(placed.planned) if hours else placed.planned
    late = max(0, (done_at - possible_at + _DAY / 2) // _DAY)
    anchors: dict[str, object]
    if timeline.day_one is None or timeline.first_send_day_one is None:
        day_one = wall_of(timeline.enrolled_at, zone).date() + timedelta(days=placed.days_moved)
        sent = wall_of(done_at, zone)
        anchors = {
            "day_one": day_one + late * _DAY,
            "first_send_day_one": day_one + (sent.date() - placed.wall.date()),
            "day_one_time": sent.time(),
            "first_planned_time": placed.wall.time(),
        }
    else:
        moved = timedelta(days=placed.days_moved + late)
        anchors = {
            "day_one": timeline.day_one + moved,
            "first_send_day_one": timeline.first_send_day_one + moved,
        }
    return timeline.model_copy(
        update={
            **anchors,
            "previous_planned_at": moment_of(placed.wall + late * _DAY, zone) if late else placed.planned,
            "previous_at": done_at,
            "replied_at": None,
            "done": (*timeline.done, step_key),
        }
    )


def rezone(timeline: Timeline, zone: str) -> Timeline:
    """The contact's calendar with ``zone`` as its corrected time zone.

    Raises InvalidInput for an unknown zone.
    """
    if zone == timeline.zone:
        return timeline
    old, new = load_zone(timeline.zone), load_zone(zone)

    def moved(day: date, clock: time) -> datetime:
        return wall_of(moment_of(datetime.combine(day, clock), old), new)

    anchors: dict[str, object] = {}
    if timeline.day_one is not None and timeline.first_planned_time is not None:
        planned = moved(timeline.day_one, timeline.first_planned_time)
        anchors |= {"day_one": planned.date(), "first_planned_time": planned.time()}
    if timeline.first_send_day_one is not None and timeline.day_one_time is not None:
        sent = moved(timeline.first_send_day_one, timeline.day_one_time)
        anchors |= {"first_send_day_one": sent.date(), "day_one_time": sent.time()}
    return timeline.model_copy(update={"zone": zone, **anchors})


def describe(timeline: Timeline, scheduled: Scheduled) -> str:
    """The due moment as an operator reads it, e.g. ``day 3, Fri 27 Nov 10:00 Asia/Kuala_Lumpur``."""
    zone = load_zone(timeline.zone)
    step = scheduled.step
    local = wall_of(scheduled.due_at, zone)
    before = timeline.done[-1] if timeline.done else "enrollment"
    if step.wait_for is not None:
        what = (
            "a reply came"
            if timeline.replied_at
            else f"a reply, or {format_duration(step.wait_for)} after {before}"
        )
    elif step.after is not None:
        what = f"{format_duration(step.after)} after {before}"
    else:
        what = f"day {step.day}"
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{what}, {local:%a %Y-%m-%d} {clock} {timeline.zone}"


class _Placed(NamedTuple):
    """A step on a contact's calendar."""

    planned: datetime
    due: datetime
    wall: datetime
    """The local time, naive, that ``planned`` follows from; a gap of the zone can set the two apart."""
    days_moved: int
    """How many days the step was moved by; all later days move along."""


def left_out(plan: Plan, done: Collection[str]) -> list[PlanStep]:
    """The steps that a contact which has had ``done`` (keys) will not get: they stand before one that is done."""
    return [
        step
        for step in plan.steps[: _last(plan, done)]
        if step.key not in done and step.missed == "leave_out"
    ]


def caught_up(plan: Plan, done: Collection[str]) -> list[PlanStep]:
    """The steps that stand before one that is done, and come all the same."""
    return [
        step for step in plan.steps[: _last(plan, done)] if step.key not in done and step.missed == "send"
    ]


def _last(plan: Plan, done: Collection[str]) -> int:
    """The place of the last active step that is done; 0 where none is."""
    return max((index for index, step in enumerate(plan.steps) if step.key in done), default=0)


def _next_step(plan: Plan, timeline: Timeline) -> PlanStep | None:
    done = set(timeline.done)
    if missed := caught_up(plan, done):
        return missed[0]
    return next((step for step in plan.steps[_last(plan, done) :] if step.key not in done), None)


def _place(plan: Plan, timeline: Timeline, step: PlanStep) -> _Placed:
    zone = load_zone(timeline.zone)
    previous_at = timeline.previous_at or timeline.enrolled_at
    previous_planned_at = timeline.previous_planned_at or timeline.enrolled_at
    wait = step.after
    if step.wait_for is not None:
        wait = step.wait_for
        if timeline.replied_at is not None:
            wait = min(wait, max(timeline.replied_at - previous_at, timedelta(0)))
    elif timeline.previous_at is None and step.at is None and step.day == 1:
        wait = timedelta(0)
    if wait is not None:
        planned = previous_planned_at + wait
        return _Placed(planned, _off_weekend(previous_at + wait, zone, plan), wall_of(planned, zone), 0)

    planned_wall, due_wall = _walls(timeline, step, zone)
    wall = _open_day(planned_wall, previous_planned_at, zone)
    planned = moment_of(wall, zone)
    days = (wall.date() - planned_wall.date()).days
    due = moment_of(due_wall + days * _DAY, zone)
    gap = planned - previous_planned_at
    if due - previous_at < gap / 2:
        due = previous_at + gap
    return _Placed(planned, _off_weekend(due, zone, plan), wall, days)


def _walls(timeline: Timeline, step: PlanStep, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The local times at which a step with a day is planned and due, before anything moves it."""
    assert step.day is not None
    ahead = (step.day - 1) * _DAY
    enrolled = wall_of(timeline.enrolled_at, zone)
    day_one = timeline.day_one or enrolled.date()
    planned = datetime.combine(day_one, step.at or timeline.first_planned_time or enrolled.time()) + ahead
    if step.at is not None or timeline.first_send_day_one is None or timeline.day_one_time is None:
        return planned, planned
    return planned, datetime.combine(timeline.first_send_day_one, timeline.day_one_time) + ahead


def _open_day(wall: datetime, floor: datetime, zone: ZoneInfo) -> datetime:
    """The first local time from ``wall`` on, by whole days, that is not before ``floor``, on a date that exists."""
    while True:
        moment = moment_of(wall, zone)
        shown = wall_of(moment, zone)
        if moment < floor:
            wall += _DAY
        elif shown - wall >= _DAY / 2:  # the zone skipped this date
            wall = shown
        else:
            return wall


def _off_weekend(moment: datetime, zone: ZoneInfo, plan: Plan) -> datetime:
    """The moment, or if the plan skips weekends, the same local time on Monday. The wait is a delay like any other."""
    wall = wall_of(moment, zone)
    return moment_of(_monday(wall), zone) if plan.skip_weekends and wall.weekday() >= _SATURDAY else moment


def _monday(wall: datetime) -> datetime:
    return wall + (7 - wall.weekday()) * _DAY
