"""What holds for every plan, zone and lateness, searched for counter-examples by hypothesis."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.times.calendar import Plan, PlanStep, Timeline, _place, advance, begin, next_due
from messaging.times.sending_hours import SendingHours

ZONES = (
    "UTC", "Asia/Kuala_Lumpur", "Asia/Kathmandu", "America/New_York", "Europe/London", "Africa/Casablanca",
    "America/Santiago", "America/Nuuk", "America/St_Johns", "Australia/Sydney", "Australia/Lord_Howe",
    "Pacific/Chatham", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Cairo",
)  # fmt: skip
STEADY_ZONES = ("UTC", "Asia/Kathmandu", "Pacific/Kiritimati")
LATER = datetime(2100, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
JUMP = timedelta(hours=1)
"""The largest change of offset that daylight saving time makes in these zones."""

enrollments = st.datetimes(datetime(2023, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
delays = st.one_of(
    st.just(timedelta(0)),
    st.timedeltas(timedelta(0), 3 * HOUR),
    st.timedeltas(timedelta(0), 3 * DAY),
)
lateness = st.lists(delays, min_size=8, max_size=8)


@st.composite
def plans(
    draw: st.DrawFn, *, timed: bool = False, zones: tuple[str, ...] = ZONES, weekends: bool = True
) -> Plan:
    """Plans as the file's validator lets them pass: days do not go backwards. ``timed``: every day has a time."""
    steps = []
    day, at = 1, time(0)
    for number in range(1, draw(st.integers(1, 6)) + 1):
        key = f"s{number}"
        if not timed and draw(st.integers(0, 3)) == 0:
            after = timedelta(minutes=draw(st.integers(1, 4000)))
            if number > 1 and draw(st.booleans()):
                steps.append(PlanStep(id=number, key=key, wait_for=after))
            else:
                steps.append(PlanStep(id=number, key=key, after=after))
            continue
        ahead = draw(st.sampled_from([0, 0, 1, 1, 2, 5, 30]))
        clock = draw(times) if timed or draw(st.booleans()) else None
        if timed and clock is not None:
            ahead += 1 if ahead == 0 and clock <= at and number > 1 else 0
            at = clock
        day += ahead
        steps.append(PlanStep(id=number, key=key, day=day, at=clock))
    return Plan(
        sequence_id=1,
        sequence="cold",
        revision=1,
        time_zone=draw(st.sampled_from(zones)),
        skip_weekends=weekends and draw(st.booleans()),
        steps=tuple(steps),
    )


class Sent:
    """One step as it went out, with the calendar before it."""

    def __init__(self, plan: Plan, before: Timeline, late: timedelta) -> None:
        scheduled = next_due(plan, before, LATER)
        assert scheduled is not None
        self.step, self.due_at = scheduled.step, scheduled.due_at
        self.before = before
        self.at = self.due_at + late
        self.after = advance(plan, before, self.step.key, self.due_at, self.at)

    @property
    def wall(self) -> datetime:
        return self.due_at.astimezone(ZoneInfo(self.before.zone)).replace(tzinfo=None)


def play(plan: Plan, enrolled_at: datetime, late: list[timedelta]) -> list[Sent]:
    sent: list[Sent] = []
    timeline = begin(plan, None, enrolled_at)
    while next_due(plan, timeline, LATER) is not None:
        sent.append(Sent(plan, timeline, late[len(sent)]))
        timeline = sent[-1].after
    return sent


ON_TIME = [timedelta(0)] * 8


@settings(deadline=None, max_examples=300)
@given(plans(), enrollments, lateness)
def test_everything_is_sent_once_in_order_and_never_before_its_time(
    plan: Plan, enrolled_at: datetime, late: list[timedelta]
) -> None:
    sent = play(plan, enrolled_at, late)
    assert [one.step for one in sent] == list(plan.steps)
    moment = enrolled_at
    for one in sent:
        assert one.due_at >= moment
        moment = one.at


@settings(deadline=None, max_examples=500)
@given(plans(zones=STEADY_ZONES, weekends=False), enrollments, lateness)
def test_gaps_keep_at_least_half_of_what_was_planned_and_waits_are_bounded(
    plan: Plan, enrolled_at: datetime, late: list[timedelta]
) -> None:
    """Against the same plan without any delay, where clocks never jump."""
    planned = play(plan, enrolled_at, ON_TIME)
    actual = play(plan, enrolled_at, late)
    longest = 12 * HOUR if all(step.at or step.day is None for step in plan.steps) else DAY
    for number in range(1, len(planned)):
        gap = planned[number].at - planned[number - 1].at
        wait = actual[number].due_at - actual[number - 1].at
        assert gap / 2 <= wait <= gap + longest


@settings(deadline=None, max_examples=500)
@given(plans(), enrollments, lateness)
def test_gaps_follow_the_contacts_calendar_in_every_zone(
    plan: Plan, enrolled_at: datetime, late: list[timedelta]
) -> None:
    for one in play(plan, enrolled_at, late)[1:]:
        assert one.before.previous_at is not None
        assert one.before.previous_planned_at is not None
        gap = one.step.after
        if gap is None:
            gap = (_place(plan, one.before, one.step).planned - one.before.previous_planned_at) / 2
        assert one.due_at - one.before.previous_at >= gap


@settings(deadline=None, max_examples=500)
@given(plans(timed=True, weekends=False), enrollments)
def test_without_delay_all_comes_at_its_local_time_on_its_day(plan: Plan, enrolled_at: datetime) -> None:
    sent = play(plan, enrolled_at, ON_TIME)
    zone = ZoneInfo(plan.time_zone)
    first = plan.steps[0]
    assert first.day is not None
    assert first.at is not None
    local = enrolled_at.astimezone(zone)
    today = local.replace(hour=first.at.hour, minute=first.at.minute, second=0, microsecond=0, fold=0)
    passed = first.day == 1 and today.astimezone(UTC) < enrolled_at
    day_one = local.date() + passed * DAY
    for one in sent:
        assert one.step.day is not None
        assert one.step.at is not None
        wall = datetime.combine(day_one + (one.step.day - 1) * DAY, one.step.at)
        exists = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
        if exists:
            assert one.wall == wall
        else:
            assert timedelta(0) < one.wall - wall <= JUMP
            return  # two steps around the gap can turn around there, and a day comes in between


@settings(deadline=None, max_examples=300)
@given(plans(timed=True, weekends=False), enrollments, lateness)
def test_local_times_hold_unless_the_gap_decides(
    plan: Plan, enrolled_at: datetime, late: list[timedelta]
) -> None:
    for one in play(plan, enrolled_at, late):
        assert one.step.at is not None
        placed = _place(plan, one.before, one.step)
        if one.due_at == placed.planned:
            assert placed.wall.time() == one.step.at
            assert timedelta(0) <= one.wall - placed.wall <= JUMP
        else:
            assert one.before.previous_at is not None
            assert one.before.previous_planned_at is not None
            gap = placed.planned - one.before.previous_planned_at
            assert placed.planned - one.before.previous_at < gap / 2
            assert one.due_at == one.before.previous_at + gap


@settings(deadline=None, max_examples=300)
@given(plans(zones=STEADY_ZONES, weekends=False), enrollments, st.integers(1, 40), st.integers(0, 5))
def test_whole_days_of_delay_move_all_that_follows_by_so_many_days(
    plan: Plan, enrolled_at: datetime, days: int, which: int
) -> None:
    which = min(which, len(plan.steps) - 1)
    planned = play(plan, enrolled_at, ON_TIME)
    late = list(ON_TIME)
    late[which] = days * DAY
    for one, other in zip(planned[which + 1 :], play(plan, enrolled_at, late)[which + 1 :], strict=True):
        assert other.due_at - one.due_at == days * DAY


@settings(deadline=None, max_examples=300)
@given(plans(), enrollments, lateness)
def test_never_due_on_a_free_day(plan: Plan, enrolled_at: datetime, late: list[timedelta]) -> None:
    weekdays = plan.model_copy(update={"skip_weekends": True})
    assert all(one.wall.weekday() < 5 for one in play(weekdays, enrolled_at, late))


@settings(deadline=None, max_examples=300)
@given(plans(weekends=False), enrollments, st.lists(delays, min_size=8, max_size=8))
def test_a_reply_brings_a_step_that_waits_sooner_and_moves_no_day(
    plan: Plan, enrolled_at: datetime, replies: list[timedelta]
) -> None:
    timeline = begin(plan, None, enrolled_at)
    for replied in replies:
        before = timeline
        latest = next_due(plan, before, LATER)
        if latest is None:
            return
        last = before.previous_at or enrolled_at
        scheduled = next_due(plan, before.model_copy(update={"replied_at": last + replied}), LATER)
        assert scheduled is not None
        if latest.step.wait_for is None:
            assert scheduled == latest
        else:
            assert scheduled.due_at == min(last + replied, latest.due_at)
        timeline = advance(plan, before, latest.step.key, scheduled.due_at, scheduled.due_at)
        assert timeline.replied_at is None
        if before.day_one is not None and latest.step.day is None:
            assert (timeline.day_one, timeline.first_send_day_one) == (
                before.day_one,
                before.first_send_day_one,
            )


@settings(deadline=None, max_examples=300)
@given(plans(), plans(), enrollments, lateness, st.integers(0, 6))
def test_an_edit_repeats_nothing_and_keeps_the_order_of_time(
    plan: Plan, edited: Plan, enrolled_at: datetime, late: list[timedelta], edited_after: int
) -> None:
    timeline = begin(plan, None, enrolled_at)
    present = plan
    moment = enrolled_at
    for number in range(20):
        present = edited if number >= edited_after else plan
        scheduled = next_due(present, timeline, LATER)
        if scheduled is None:
            break
        assert scheduled.step.key not in timeline.done
        assert scheduled.due_at >= moment
        moment = scheduled.due_at + late[number % len(late)]
        timeline = advance(present, timeline, scheduled.step.key, scheduled.due_at, moment)
    assert next_due(present, timeline, LATER) is None


@settings(deadline=None, max_examples=300)
@given(plans(), enrollments, lateness)
def test_timelines_survive_json(plan: Plan, enrolled_at: datetime, late: list[timedelta]) -> None:
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    for one in play(plan, enrolled_at, late):
        stored = Timeline.model_validate(one.after.model_dump(mode="json"))
        assert stored == one.after
        assert next_due(plan, stored, LATER) == next_due(plan, one.after, LATER)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ZONES), times, times, enrollments)
def test_an_opening_is_open_and_not_in_the_past(
    zone: str, opens_at: time, closes_at: time, moment: datetime
) -> None:
    if opens_at == closes_at:
        return
    hours = SendingHours(opens_at=opens_at, closes_at=closes_at, time_zone=zone)
    opening = hours.next_opening(moment)
    assert moment <= opening <= moment + DAY + JUMP
    assert hours.next_opening(opening) == opening
