"""Each rule of messaging.times.calendar by examples; tests/unit/test_calendar_properties.py has what holds for all plans."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.times.calendar import (
    Plan,
    PlanStep,
    Scheduled,
    Timeline,
    advance,
    begin,
    describe,
    next_due,
    rezone,
)
from messaging.times.sending_hours import SendingHours

KL = "Asia/Kuala_Lumpur"
LONDON = "Europe/London"
NEW_YORK = "America/New_York"
SYDNEY = "Australia/Sydney"
SANTIAGO = "America/Santiago"
LORD_HOWE = "Australia/Lord_Howe"
APIA = "Pacific/Apia"
NUUK = "America/Nuuk"
KIRITIMATI = "Pacific/Kiritimati"
PAGO_PAGO = "Pacific/Pago_Pago"

LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""A ``now`` on a Friday, for what does not depend on it."""


def step(spec: str, number: int = 0) -> PlanStep:
    """``"3 10:00"`` is day 3 at ten, ``"3"`` day 3 without a time, ``"+48h"`` (or m, s) after the last one, ``"?48h"`` on a
    reply to it, after 48 hours at most.
    """
    key = f"s{number}"
    if spec[0] in "+?":
        unit = {"h": "hours", "m": "minutes", "s": "seconds"}[spec[-1]]
        time_after = timedelta(**{unit: float(spec[1:-1])})
        if spec[0] == "?":
            return PlanStep(id=number, key=key, wait_for=time_after)
        return PlanStep(id=number, key=key, after=time_after)
    day, _, at = spec.partition(" ")
    return PlanStep(id=number, key=key, day=int(day), at=time.fromisoformat(at) if at else None)


def plan(*specs: str, zone: str = "UTC", skip_weekends: bool = False) -> Plan:
    steps = tuple(step(spec, number) for number, spec in enumerate(specs, start=1))
    return Plan(
        sequence_id=1, sequence="cold", revision=1, time_zone=zone, skip_weekends=skip_weekends, steps=steps
    )


def local(zone: str, text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def shown(zone: str, moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def due(a_plan: Plan, timeline: Timeline, now: datetime = LATER) -> Scheduled:
    scheduled = next_due(a_plan, timeline, now)
    assert scheduled is not None
    return scheduled


def send(a_plan: Plan, timeline: Timeline, late: timedelta = timedelta(0)) -> Timeline:
    """The next step goes out, so late."""
    scheduled = due(a_plan, timeline)
    return advance(a_plan, timeline, scheduled.step.key, scheduled.due_at, scheduled.due_at + late)


def run(a_plan: Plan, enrolled: str, late: Sequence[float] = (), *, zone: str | None = None) -> list[str]:
    """The local times at which the steps go out, each so many hours late; ``enrolled`` is local too."""
    name = zone or a_plan.time_zone
    timeline = begin(a_plan, zone, local(name, enrolled))
    sent: list[str] = []
    while next_due(a_plan, timeline, LATER) is not None:
        hours = late[len(sent)] if len(sent) < len(late) else 0.0
        timeline = send(a_plan, timeline, timedelta(hours=hours))
        assert timeline.previous_at is not None
        sent.append(shown(name, timeline.previous_at))
    return sent


@pytest.mark.parametrize(
    ("specs", "zone", "enrolled", "expected"),
    [
        # Day 1 is today while its time is ahead, and at that very moment.
        (("1 10:00", "3 10:00"), KL, "2026-11-23 09:59", ["2026-11-23 10:00", "2026-11-25 10:00"]),
        (("1 10:00", "3 10:00"), KL, "2026-11-23 10:00", ["2026-11-23 10:00", "2026-11-25 10:00"]),
        (("1 10:00", "3 10:00"), KL, "2026-11-23 10:01", ["2026-11-24 10:00", "2026-11-26 10:00"]),
        # The date is the zone's own: in UTC this is still the day before, or the day after already.
        (("1 00:30", "2 10:00"), KIRITIMATI, "2026-11-24 00:10", ["2026-11-24 00:30", "2026-11-25 10:00"]),
        (("1 23:30", "2 10:00"), PAGO_PAGO, "2026-11-23 23:10", ["2026-11-23 23:30", "2026-11-24 10:00"]),
        # Nothing has passed where the first step comes on a later day.
        (("2 10:00", "3 09:00"), NEW_YORK, "2026-11-23 22:00", ["2026-11-24 10:00", "2026-11-25 09:00"]),
        # Without a time: at once, and then at that time.
        (("1", "2", "5"), SYDNEY, "2026-11-23 17:42", ["2026-11-23 17:42", "2026-11-24 17:42", "2026-11-27 17:42"]),
        (("3", "4"), SYDNEY, "2026-11-23 17:42", ["2026-11-25 17:42", "2026-11-26 17:42"]),
        (("1", "2 10:00"), LONDON, "2026-11-23 23:59", ["2026-11-23 23:59", "2026-11-24 10:00"]),
        # A second step whose time had passed when the first one came: tomorrow, and all that follows with it.
        (("1", "1 18:00", "2 10:00"), KL, "2026-11-23 17:00", ["2026-11-23 17:00", "2026-11-23 18:00", "2026-11-24 10:00"]),
        (("1", "1 18:00", "2 10:00"), KL, "2026-11-23 20:00", ["2026-11-23 20:00", "2026-11-24 18:00", "2026-11-25 10:00"]),
        # After: from the enrollment, then from the step before.
        (("+24h", "+90m"), KL, "2026-11-23 09:00", ["2026-11-24 09:00", "2026-11-24 10:30"]),
        (("1 10:00", "+48h", "5 08:00"), KL, "2026-11-23 09:00", ["2026-11-23 10:00", "2026-11-25 10:00", "2026-11-27 08:00"]),
        (("1 10:00", "1 10:00"), KL, "2026-11-23 09:00", ["2026-11-23 10:00", "2026-11-23 10:00"]),
        # A leap day, ten years, and seconds.
        (("1 10:00", "3 10:00"), KL, "2028-02-28 09:00", ["2028-02-28 10:00", "2028-03-01 10:00"]),
        (("1 10:00", "3650 10:00"), NEW_YORK, "2026-11-23 09:00", ["2026-11-23 10:00", "2036-11-19 10:00"]),
    ],
)  # fmt: skip
def test_on_time(specs: tuple[str, ...], zone: str, enrolled: str, expected: list[str]) -> None:
    assert run(plan(*specs, zone=zone), enrolled) == expected


def test_the_contacts_own_zone_comes_before_the_sequences() -> None:
    cold = plan("1 10:00", zone=KL)
    assert run(cold, "2026-11-23 09:00", zone=NEW_YORK) == ["2026-11-23 10:00"]
    assert begin(cold, None, LATER).zone == KL


def test_seconds_count() -> None:
    cold = plan("1 10:00:30", zone=KL)
    assert due(cold, begin(cold, None, local(KL, "2026-11-23T10:00:30"))).due_at == local(
        KL, "2026-11-23T10:00:30"
    )
    assert due(cold, begin(cold, None, local(KL, "2026-11-23T10:00:31"))).due_at == local(
        KL, "2026-11-24T10:00:30"
    )


@pytest.mark.parametrize(
    ("specs", "late", "expected"),
    [
        # Less than twelve hours move nothing, twelve a day, thirty-six two; the local time stays.
        (("1 10:00", "3 10:00"), (11.9,), ["23 21:54", "25 10:00"]),
        (("1 10:00", "3 10:00"), (12,), ["23 22:00", "26 10:00"]),
        (("1 10:00", "3 10:00"), (35.9,), ["24 21:54", "26 10:00"]),
        (("1 10:00", "3 10:00"), (36,), ["24 22:00", "27 10:00"]),
        # An outage of three days moves all the later days by three.
        (("1 10:00", "2 10:00", "4 09:00"), (72,), ["26 10:00", "27 10:00", "29 09:00"]),
        # Half an hour apart, the first forty minutes late: the planned half hour stays. Ten minutes: time enough.
        (("1 10:00", "1 10:30", "1 11:00"), (40 / 60,), ["23 10:40", "23 11:10", "23 11:40"]),
        (("1 10:00", "1 10:30", "1 11:00"), (10 / 60,), ["23 10:10", "23 10:30", "23 11:00"]),
        (("1 10:00", "1 10:30"), (0.25,), ["23 10:15", "23 10:30"]),
        (("1 10:00", "1 10:30"), (16 / 60,), ["23 10:16", "23 10:46"]),
        # Lateness adds up: two of eleven hours are nearly a day.
        (("1 10:00", "1 20:00", "2 10:00"), (11, 11), ["23 21:00", "24 18:00", "25 10:00"]),
        (("1 10:00", "+24h", "3 10:00"), (11, 11), ["23 21:00", "25 08:00", "26 10:00"]),
        (("1 10:00", "+24h", "2 20:00"), (11, 11), ["23 21:00", "25 08:00", "25 20:00"]),
        # After counts from the actual moment; a day follows the calendar again.
        (("1 10:00", "+24h", "4 10:00"), (3,), ["23 13:00", "24 13:00", "26 10:00"]),
        # Days without a time follow the actual first send by whole days, across midnight too.
        (("1 22:00", "2", "3"), (3,), ["24 01:00", "25 01:00", "26 01:00"]),
        (("1 10:00", "2", "3"), (13,), ["23 23:00", "24 23:00", "25 23:00"]),
        (("1 10:00", "2", "3"), (3, 0, 2), ["23 13:00", "24 13:00", "25 15:00"]),
        (("1 10:00", "2", "3"), (0, 24), ["23 10:00", "25 10:00", "26 10:00"]),
        (("1 10:00", "2", "3"), (0, 53), ["23 10:00", "26 15:00", "27 10:00"]),
        (("+1h", "2", "3"), (16,), ["24 02:00", "25 02:00", "26 02:00"]),
        # Two without a time on the day of a late first one; and gaps that count from when that was planned.
        (("1 22:00", "1"), (13,), ["24 11:00", "24 11:00"]),
        (("1 10:00", "2", "2 18:00"), (7.9,), ["23 17:54", "24 17:54", "25 01:54"]),
        # A day that had to give way to the step before it still does when that one is late.
        (("1 10:00", "+26h", "2 10:00"), (0, 21.9), ["23 10:00", "25 09:54", "26 10:00"]),
        # A late second message of the day does not pull the next one along.
        (("1 10:00", "1 18:00", "2 10:00"), (0, 4), ["23 10:00", "23 22:00", "24 10:00"]),
    ],
)  # fmt: skip
def test_late(specs: tuple[str, ...], late: tuple[float, ...], expected: list[str]) -> None:
    assert run(plan(*specs, zone=KL), "2026-11-23 09:00", late) == [f"2026-11-{text}" for text in expected]


def test_at_once_and_sent_after_midnight() -> None:
    """Day 1 stays the day of the enrollment, and day 2 does not come at once."""
    assert run(plan("1", "2", zone=KL), "2026-11-23 23:59", [0.05]) == [
        "2026-11-24 00:02",
        "2026-11-25 00:02",
    ]
    assert run(plan("1", "2 10:00", zone=KL), "2026-11-23 22:00", [3]) == [
        "2026-11-24 01:00",
        "2026-11-24 10:00",
    ]


@pytest.mark.parametrize(
    ("specs", "enrolled", "late", "expected"),
    [
        # 2026-11-27 is a Friday. Saturday's and Sunday's messages do not both come on Monday.
        (("1 10:00", "2 10:00", "3 10:00", "4 11:00"), "2026-11-27 09:00", (),
         ["2026-11-27 10:00", "2026-11-30 10:00", "2026-12-01 10:00", "2026-12-02 11:00"]),
        # What falls on no free day stays where it is.
        (("1 10:00", "4 10:00", "5 10:00"), "2026-11-27 09:00", (),
         ["2026-11-27 10:00", "2026-11-30 10:00", "2026-12-01 10:00"]),
        # The one due at once, and its time of day.
        (("1", "2"), "2026-11-28 15:00", (), ["2026-11-30 15:00", "2026-12-01 15:00"]),
        (("1", "2"), "2026-11-29 15:00", (), ["2026-11-30 15:00", "2026-12-01 15:00"]),
        # Passed on Friday, so Saturday, so Monday; passed on Sunday: Monday.
        (("1 10:00", "2 10:00"), "2026-11-27 11:00", (), ["2026-11-30 10:00", "2026-12-01 10:00"]),
        (("1 10:00", "2 10:00"), "2026-11-29 11:00", (), ["2026-11-30 10:00", "2026-12-01 10:00"]),
        # After, and the days behind it.
        (("1 10:00", "+24h", "3 10:00"), "2026-11-27 09:00", (),
         ["2026-11-27 10:00", "2026-11-30 10:00", "2026-12-01 10:00"]),
        (("+48h",), "2026-11-27 09:00", (), ["2026-11-30 09:00"]),
        # A late one that its gap would bring to Saturday.
        (("1 22:00", "1 23:00", "2 10:00"), "2026-11-27 09:00", (1.5,),
         ["2026-11-27 23:30", "2026-11-30 00:30", "2026-11-30 10:00"]),
    ],
)  # fmt: skip
def test_skip_weekends(
    specs: tuple[str, ...], enrolled: str, late: tuple[float, ...], expected: list[str]
) -> None:
    assert run(plan(*specs, zone=KL, skip_weekends=True), enrolled, late) == expected


def test_monday_at_the_same_local_time_though_clocks_went_forward_on_sunday() -> None:
    assert run(plan("1", zone=NEW_YORK, skip_weekends=True), "2026-03-07 10:00") == ["2026-03-09 10:00"]


def test_a_delay_over_a_change_of_clocks() -> None:
    """The calendar moves by a day at the same local time, so the second step has not passed."""
    cold = plan("1 10:00", "1 10:30", zone=NEW_YORK)
    assert run(cold, "2026-03-07 09:00", [24]) == ["2026-03-08 11:00", "2026-03-08 11:30"]


def test_weekends_are_those_of_the_contacts_zone() -> None:
    # Saturday 02:00 in Kuala Lumpur is Friday afternoon in New York.
    assert run(plan("1", zone=KL, skip_weekends=True), "2026-11-28 02:00") == ["2026-11-30 02:00"]
    assert run(plan("1", zone=KL, skip_weekends=True), "2026-11-27 13:00", zone=NEW_YORK) == [
        "2026-11-27 13:00"
    ]


def test_what_has_passed_when_asked_on_a_weekend_waits_for_monday() -> None:
    friday = plan("1 10:00", zone=KL, skip_weekends=True)
    timeline = begin(friday, None, local(KL, "2026-11-27 09:00"))

    def asked(text: str, a_plan: Plan = friday) -> str:
        return shown(KL, due(a_plan, timeline, local(KL, text)).due_at)

    assert asked("2026-11-27 12:00") == "2026-11-27 10:00"
    assert asked("2026-11-28 12:00") == "2026-11-30 10:00"
    assert asked("2026-11-29 09:00") == "2026-11-30 10:00"
    assert asked("2026-11-30 09:00") == "2026-11-27 10:00"
    assert asked("2026-11-28 12:00", friday.model_copy(update={"skip_weekends": False})) == "2026-11-27 10:00"
    next_week = plan("4 10:00", zone=KL, skip_weekends=True)
    assert asked("2026-11-28 12:00", next_week) == "2026-11-30 10:00"
    assert asked("2026-11-28 12:00", plan("5 10:00", zone=KL, skip_weekends=True)) == "2026-12-01 10:00"


@pytest.mark.parametrize(
    ("zone", "specs", "enrolled", "expected"),
    [
        # Skipped times move on by the length of the gap; the day after, all is as before.
        (NEW_YORK, ("1 02:30", "2 02:30", "3 02:30"), "2026-03-07 01:00",
         ["2026-03-07 02:30", "2026-03-08 03:30", "2026-03-09 02:30"]),
        (LONDON, ("1", "2", "3"), "2026-03-28 01:15", ["2026-03-28 01:15", "2026-03-29 02:15", "2026-03-30 01:15"]),
        (SYDNEY, ("1 02:30", "2 02:30"), "2026-10-03 12:00", ["2026-10-04 03:30", "2026-10-05 02:30"]),
        (SANTIAGO, ("1 00:20", "2 00:20"), "2026-09-05 12:00", ["2026-09-06 01:20", "2026-09-07 00:20"]),
        (LORD_HOWE, ("1 02:10", "2 02:10"), "2026-10-03 12:00", ["2026-10-04 02:40", "2026-10-05 02:10"]),
        # The gap ends at midnight: the next date, and yet the same day of the sequence.
        (NUUK, ("1 23:30", "2 23:30", "3"), "2026-03-28 12:00",
         ["2026-03-29 00:30", "2026-03-29 23:30", "2026-03-31 00:30"]),
        # The local time of day holds across the change, whichever way.
        (NEW_YORK, ("1 10:00", "2 10:00"), "2026-03-07 09:00", ["2026-03-07 10:00", "2026-03-08 10:00"]),
        (NEW_YORK, ("1 10:00", "2 10:00"), "2026-10-31 09:00", ["2026-10-31 10:00", "2026-11-01 10:00"]),
        # After is elapsed time.
        (NEW_YORK, ("1 10:00", "+24h"), "2026-03-07 09:00", ["2026-03-07 10:00", "2026-03-08 11:00"]),
        (NEW_YORK, ("1 10:00", "+24h"), "2026-10-31 09:00", ["2026-10-31 10:00", "2026-11-01 09:00"]),
        # 2011-12-30 does not exist in Apia. The days behind it move with it, or two would come at once.
        (APIA, ("1 10:00", "2 10:00", "3 10:00"), "2011-12-29 09:00",
         ["2011-12-29 10:00", "2011-12-31 10:00", "2012-01-01 10:00"]),
        (APIA, ("1 10:00", "3 10:00"), "2011-12-29 09:00", ["2011-12-29 10:00", "2011-12-31 10:00"]),
        (APIA, ("1 10:00", "2 10:00"), "2011-12-29 11:00", ["2011-12-31 10:00", "2012-01-01 10:00"]),
    ],
)  # fmt: skip
def test_clocks_that_jump(zone: str, specs: tuple[str, ...], enrolled: str, expected: list[str]) -> None:
    assert run(plan(*specs, zone=zone), enrolled) == expected


def test_a_skipped_date_and_a_weekend() -> None:
    # Friday the 30th is skipped; Saturday the 31st is no working day: Monday, and the next one on Tuesday.
    cold = plan("1 10:00", "2 10:00", "3 10:00", zone=APIA, skip_weekends=True)
    assert run(cold, "2011-12-29 09:00") == ["2011-12-29 10:00", "2012-01-02 10:00", "2012-01-03 10:00"]


@pytest.mark.parametrize(
    ("zone", "text", "hour_offset"),
    [
        (NEW_YORK, "2026-11-01 01:30", -4),
        (LONDON, "2026-10-25 01:30", 1),
        (SYDNEY, "2026-04-05 02:30", 11),
        (SANTIAGO, "2026-04-04 23:30", -3),
        (LORD_HOWE, "2026-04-05 01:45", 11),
    ],
)
@pytest.mark.parametrize("with_at", [True, False])
def test_a_repeated_time_means_the_first(zone: str, text: str, hour_offset: int, with_at: bool) -> None:
    wall = datetime.fromisoformat(text)
    clock = f"{wall:%H:%M}"
    cold = plan(*((f"1 {clock}", f"2 {clock}") if with_at else ("1", "2")), zone=zone)
    timeline = send(cold, begin(cold, None, local(zone, str(wall - timedelta(days=1)))))
    assert due(cold, timeline).due_at == wall.replace(tzinfo=timezone(timedelta(hours=hour_offset)))


def test_enrolled_within_a_repeated_hour() -> None:
    second = local(NEW_YORK, "2026-11-01 01:20", fold=1)
    # The first 01:40 has passed, so it is tomorrow's. At once is at once in the second hour as well.
    timed, untimed = plan("1 01:40", zone=NEW_YORK), plan("1", "2", zone=NEW_YORK)
    assert due(timed, begin(timed, None, second)).due_at == local(NEW_YORK, "2026-11-02 01:40")
    assert due(untimed, begin(untimed, None, second)).due_at == second
    assert due(untimed, send(untimed, begin(untimed, None, second))).due_at == local(
        NEW_YORK, "2026-11-02 01:20"
    )


def test_sent_within_a_repeated_hour() -> None:
    """01:50 means the first one, which has passed when the second 01:40 has come."""
    cold = plan("+1h", "+1h", "1 01:50", zone=NEW_YORK)
    assert run(cold, "2026-11-01 00:40") == ["2026-11-01 01:40", "2026-11-01 01:40", "2026-11-02 01:50"]


def edited(a_plan: Plan, *specs_by_key: str) -> Plan:
    """The plan's next revision, of steps written ``key=spec``."""
    steps = []
    for text in specs_by_key:
        key, _, spec = text.partition("=")
        steps.append(step(spec, int(key[1:])))
    return a_plan.model_copy(update={"revision": a_plan.revision + 1, "steps": tuple(steps)})


ORIGINAL = plan("1 10:00", "3 10:00", "10 10:00", zone=KL)
"""s1, s2 and s3. In the tests of edits s1 and s2 are done: on the 23rd and the 25th."""


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (("s1=1 10:00", "s2=3 10:00", "s3=10 10:00"), ("s3", "2026-12-02 10:00")),
        # Earlier, later, into the past, at another time, after instead of a day.
        (("s1=1 10:00", "s2=3 10:00", "s3=6 10:00"), ("s3", "2026-11-28 10:00")),
        (("s1=1 10:00", "s2=3 10:00", "s3=12 18:00"), ("s3", "2026-12-04 18:00")),
        (("s1=1 10:00", "s2=3 10:00", "s3=4 09:00"), ("s3", "2026-11-26 09:00")),
        (("s1=1 10:00", "s2=3 10:00", "s3=+1h"), ("s3", "2026-11-25 11:00")),
        # Inserted before what is done: never. After it: next.
        (("s1=1 10:00", "s4=2 10:00", "s2=3 10:00", "s3=10 10:00"), ("s3", "2026-12-02 10:00")),
        (("s1=1 10:00", "s2=3 10:00", "s4=5 10:00", "s3=10 10:00"), ("s4", "2026-11-27 10:00")),
        # The step done last is removed: the latest done one that is left counts, and what is done stays done.
        (("s1=1 10:00", "s3=10 10:00"), ("s3", "2026-12-02 10:00")),
        (("s1=1 10:00", "s4=4 10:00", "s3=10 10:00"), ("s4", "2026-11-26 10:00")),
        (("s4=2 10:00", "s2=3 10:00", "s3=10 10:00"), ("s3", "2026-12-02 10:00")),
        # Everything done is removed: from the start, though not before what the contact had.
        (("s4=1 09:00", "s3=10 10:00"), ("s4", "2026-11-26 09:00")),
        (("s3=10 10:00",), ("s3", "2026-12-02 10:00")),
        # Turned around: nobody goes backwards.
        (("s2=1 10:00", "s3=3 10:00", "s1=10 10:00"), None),
        # Nothing left.
        (("s1=1 10:00", "s2=3 10:00"), None),
        ((), None),
    ],
)
def test_edits(specs: tuple[str, ...], expected: tuple[str, str] | None) -> None:
    timeline = begin(ORIGINAL, None, local(KL, "2026-11-23 09:00"))
    timeline = send(ORIGINAL, send(ORIGINAL, timeline))
    scheduled = next_due(edited(ORIGINAL, *specs), timeline, LATER)
    assert (scheduled and (scheduled.step.key, shown(KL, scheduled.due_at))) == expected


def test_an_edit_before_the_first_send_moves_day_one() -> None:
    cold = plan("1 10:00", zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-23 11:00"))
    assert shown(KL, due(cold, timeline).due_at) == "2026-11-24 10:00"
    assert shown(KL, due(edited(cold, "s1=1 12:00"), timeline).due_at) == "2026-11-23 12:00"


def test_a_step_moved_into_the_past_keeps_the_gaps_behind_it() -> None:
    timeline = send(ORIGINAL, send(ORIGINAL, begin(ORIGINAL, None, local(KL, "2026-11-23 09:00"))))
    earlier = edited(ORIGINAL, "s1=1 10:00", "s2=3 10:00", "s3=5 10:00", "s4=6 10:00")
    # On the 30th s3 has been due since the 27th. s4, due on the 28th, follows a day after s3 and not at once.
    now = local(KL, "2026-11-30 10:00")
    timeline = advance(earlier, timeline, "s3", due(earlier, timeline, now).due_at, now)
    assert shown(KL, due(earlier, timeline).due_at) == "2026-12-01 10:00"


def test_an_edit_does_not_bring_the_next_step_closer_than_half_its_gap() -> None:
    timeline = send(ORIGINAL, begin(ORIGINAL, None, local(KL, "2026-11-23 09:00")), timedelta(hours=5))
    sooner = edited(ORIGINAL, "s1=1 10:00", "s2=1 16:00")
    assert shown(KL, due(sooner, timeline).due_at) == "2026-11-23 21:00"


def test_the_time_of_the_first_send_survives_an_edit() -> None:
    cold = plan("1", "2", zone=KL)
    timeline = send(cold, begin(cold, None, local(KL, "2026-11-23 17:42")))
    assert shown(KL, due(edited(cold, "s1=1 08:00", "s2=4"), timeline).due_at) == "2026-11-26 17:42"


def test_a_step_removed_while_it_was_being_sent_still_counts() -> None:
    cold = plan("1 10:00", "1 10:30", "1 11:00", zone=KL)
    timeline = send(cold, begin(cold, None, local(KL, "2026-11-23 09:00")))
    left = edited(cold, "s1=1 10:00", "s3=1 11:00")
    planned_at = local(KL, "2026-11-23 10:30")
    timeline = advance(left, timeline, "s2", planned_at, planned_at + timedelta(minutes=40))
    assert timeline.done == ("s1", "s2")
    assert shown(KL, due(left, timeline).due_at) == "2026-11-23 11:40"


def test_a_skipped_step_holds_its_place() -> None:
    """Skipped ahead of its time, it is done when it was due: what follows does not come earlier for that."""
    cold = plan("1 10:00", "3 10:00", "+48h", "10", zone=KL)
    timeline = send(cold, begin(cold, None, local(KL, "2026-11-23 09:00")))
    skipped = due(cold, timeline)
    timeline = advance(cold, timeline, skipped.step.key, skipped.due_at, skipped.due_at)
    assert shown(KL, due(cold, timeline).due_at) == "2026-11-27 10:00"


def test_done_before_its_time_moves_nothing() -> None:
    cold = plan("1 10:00", "3 10:00", zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-20 11:00"))
    timeline = advance(cold, timeline, "s1", due(cold, timeline).due_at, local(KL, "2026-11-20 12:00"))
    assert shown(KL, due(cold, timeline).due_at) == "2026-11-23 10:00"


@pytest.mark.parametrize("planned_hour", [18, 20, 23])
def test_closed_hours_are_no_delay(planned_hour: int) -> None:
    """A daily step at an hour when its device is closed comes daily at the opening, not every other day."""
    hours = SendingHours(opens_at=time(9), closes_at=time(18), time_zone=KL)
    cold = plan(*(f"{day} {planned_hour}:00" for day in range(1, 6)), zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-23 08:00"))
    sent = []
    while (scheduled := next_due(cold, timeline, LATER)) is not None:
        sent.append(hours.next_opening(scheduled.due_at))
        timeline = advance(cold, timeline, scheduled.step.key, scheduled.due_at, sent[-1], hours)
    assert [shown(KL, moment) for moment in sent] == [f"2026-11-{day} 09:00" for day in range(24, 29)]


def test_lateness_adds_up_where_hours_are_known_too() -> None:
    hours = SendingHours(opens_at=time(1), closes_at=time(0), time_zone=KL)
    cold = plan("1 10:00", "1 20:00", "2 10:00", zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-23 09:00"))
    for _ in range(2):
        scheduled = due(cold, timeline)
        done_at = scheduled.due_at + timedelta(hours=11)
        timeline = advance(cold, timeline, scheduled.step.key, scheduled.due_at, done_at, hours)
    assert shown(KL, due(cold, timeline).due_at) == "2026-11-25 10:00"


def test_an_outage_is_a_delay_beyond_closed_hours() -> None:
    hours = SendingHours(opens_at=time(9), closes_at=time(18), time_zone=KL)
    cold = plan("1 20:00", "3 20:00", zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-23 08:00"))
    timeline = advance(cold, timeline, "s1", due(cold, timeline).due_at, local(KL, "2026-11-26 09:00"), hours)
    assert shown(KL, due(cold, timeline).due_at) == "2026-11-27 20:00"


@pytest.mark.parametrize(
    ("opens_at", "closes_at"), [(None, None), (time(9), time(18)), (time(20), time(2)), (time(0), time(12))]
)
async def test_sending_hours_agree_with_the_database(
    pool: Pool, opens_at: time | None, closes_at: time | None
) -> None:
    hours = SendingHours(opens_at=opens_at, closes_at=closes_at, time_zone=SANTIAGO)
    start = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
    moments = [start + timedelta(minutes=30 * number) for number in range(100)]
    rows = await pool.fetch(
        "select next_opening(moment, $2, $3, $4) as opening from unnest($1::timestamptz[]) as moment",
        moments, opens_at, closes_at, SANTIAGO,
    )  # fmt: skip
    assert [hours.next_opening(moment) for moment in moments] == [row["opening"] for row in rows]


def test_sending_hours_need_both_ends() -> None:
    with pytest.raises(ValidationError, match="both"):
        SendingHours(opens_at=time(9), time_zone=KL)


@pytest.mark.parametrize(
    ("specs", "done", "expected"),
    [
        (("3 10:00",), 0, "day 3, Wed 2026-11-25 10:00 Asia/Kuala_Lumpur"),
        (("1",), 0, "day 1, Mon 2026-11-23 09:00 Asia/Kuala_Lumpur"),
        (("1 10:00:05",), 0, "day 1, Mon 2026-11-23 10:00:05 Asia/Kuala_Lumpur"),
        (("+36h",), 0, "36h after enrollment, Tue 2026-11-24 21:00 Asia/Kuala_Lumpur"),
        (("1", "+90m"), 1, "1h30m after s1, Mon 2026-11-23 10:30 Asia/Kuala_Lumpur"),
        (("1", "+5s"), 1, "5s after s1, Mon 2026-11-23 09:00:05 Asia/Kuala_Lumpur"),
        (("1", "+1s", "+5s"), 2, "5s after s2, Mon 2026-11-23 09:00:06 Asia/Kuala_Lumpur"),
        (("1", "+0s"), 1, "0s after s1, Mon 2026-11-23 09:00 Asia/Kuala_Lumpur"),
        (("60 08:00",), 0, "day 60, Thu 2027-01-21 08:00 Asia/Kuala_Lumpur"),
    ],
)
def test_describe(specs: tuple[str, ...], done: int, expected: str) -> None:
    cold = plan(*specs, zone=KL)
    timeline = begin(cold, None, local(KL, "2026-11-23 09:00"))
    for _ in range(done):
        timeline = send(cold, timeline)
    assert describe(timeline, due(cold, timeline)) == expected


@pytest.mark.parametrize(
    ("specs", "to", "done", "expected"),
    [
        # Enrolled in Kuala Lumpur on the 2nd at 08:00, which is 09:00 in Tokyo and 19:00 on the 1st in New York.
        (("1", "2 10:00"), "Asia/Tokyo", 1, "2026-03-03 10:00"),
        (("1", "2 10:00"), NEW_YORK, 1, "2026-03-02 10:00"),
        (("1 10:00", "3 09:30"), "Asia/Tokyo", 0, "2026-03-02 10:00"),
        (("1 10:00", "3 09:30"), NEW_YORK, 0, "2026-03-02 10:00"),  # ten o'clock of the 1st had passed there
        (("1 10:00", "3 09:30"), NEW_YORK, 1, "2026-03-03 09:30"),  # day 1 came on the 1st at 21:00 there
        # What goes by the moments of other messages keeps its moment.
        (("1", "2"), "Asia/Tokyo", 1, "2026-03-03 09:00"),
        (("1", "2"), NEW_YORK, 1, "2026-03-02 19:00"),
        (("1", "+48h"), NEW_YORK, 1, "2026-03-03 19:00"),
        (("1 23:30", "2 10:00"), "Asia/Tokyo", 1, "2026-03-04 10:00"),  # day 1 came on the 3rd at 00:30 there
    ],
)
def test_a_corrected_zone_is_followed(specs: tuple[str, ...], to: str, done: int, expected: str) -> None:
    a_plan = plan(*specs, zone=KL)
    timeline = begin(a_plan, None, local(KL, "2026-03-02 08:00"))
    for _ in range(done):
        timeline = send(a_plan, timeline)
    corrected = rezone(timeline, to)
    assert shown(to, due(a_plan, corrected).due_at) == expected
    assert corrected.done == timeline.done
    assert rezone(timeline, KL) is timeline


def test_delays_outlive_a_corrected_zone() -> None:
    a_plan = plan("1 10:00", "2 10:00", "4 10:00", zone=KL)
    timeline = send(a_plan, begin(a_plan, None, local(KL, "2026-03-02 08:00")), timedelta(days=3))
    timeline = send(a_plan, rezone(timeline, "Asia/Tokyo"))
    assert shown("Asia/Tokyo", due(a_plan, timeline).due_at) == "2026-03-08 10:00"


def test_values_survive_json() -> None:
    cold = plan("1 10:00:05", "2", "+36h", zone=KL, skip_weekends=True)
    fresh = begin(cold, None, local(KL, "2026-11-23 09:00"))
    begun = send(cold, fresh, timedelta(hours=15, microseconds=7))
    assert begun.first_send_day_one == date(2026, 11, 24)
    assert begun.day_one_time == time(1, 0, 5, 7)
    for timeline in (fresh, begun):
        assert Timeline.model_validate(timeline.model_dump(mode="json")) == timeline
        assert Timeline.model_validate_json(timeline.model_dump_json()) == timeline
    assert Plan.model_validate_json(cold.model_dump_json()) == cold
    scheduled = due(cold, begun)
    assert Scheduled.model_validate(scheduled.model_dump(mode="json")) == scheduled


def test_moments_in_other_zones_become_utc() -> None:
    cold = plan("1", "2 10:00", zone=KL)
    moment = datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo(KL))
    timeline = begin(cold, None, moment)
    timeline = advance(cold, timeline, "s1", moment, moment)
    rebuilt = Timeline(zone=KL, enrolled_at=moment, previous_at=moment)
    for value in (
        timeline.enrolled_at,
        timeline.previous_at,
        timeline.previous_planned_at,
        rebuilt.previous_at,
    ):
        assert value == moment
        assert value is not None
        assert value.tzinfo is UTC
    assert due(cold, timeline).due_at.tzinfo is UTC
    removed = advance(cold, begin(cold, None, moment), "gone", moment, moment)
    assert removed.previous_planned_at == moment
    assert removed.previous_planned_at is not None
    assert removed.previous_planned_at.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused() -> None:
    cold = plan("1", zone=KL)
    naive = datetime(2026, 11, 23, 9, 0)  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        begin(cold, None, naive)
    timeline = begin(cold, None, LATER)
    with pytest.raises(ValueError, match="no time zone"):
        advance(cold, timeline, "s1", LATER, naive)
    with pytest.raises(ValueError, match="no time zone"):
        next_due(cold, timeline, naive)


@pytest.mark.parametrize("zone", ["Asia/Kuala_Lumpurr", "Asia", "../UTC", "/etc/passwd", "UTC+8 ", "\0"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(InvalidInput, match=r"^time zone .* is unknown: give an IANA name"):
        begin(plan("1"), zone, LATER)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"day": 1, "after": timedelta(hours=1)},
        {"after": timedelta(hours=1), "at": time(10)},
        {"day": 0},
        {"after": timedelta(seconds=-1)},
        {"day": 1, "at": time(10, tzinfo=UTC)},
    ],
)
def test_a_step_has_one_way_to_say_when(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PlanStep.model_validate({"id": 1, "key": "welcome", **fields})


def test_a_burst_after_an_outage_of_a_week_is_impossible() -> None:
    cold = plan(*(f"{day} {hour}:00" for day in range(1, 8) for hour in ("09", "13", "18")), zone=KL)
    sent = [datetime.fromisoformat(text) for text in run(cold, "2026-11-23 08:00", [0, 0, 0, 170])]
    assert min(after - before for before, after in pairwise(sent)) >= timedelta(hours=2)


def replied(timeline: Timeline, moment: str) -> Timeline:
    return timeline.model_copy(update={"replied_at": local("UTC", moment)})


def test_a_step_that_waits_comes_with_the_reply_or_in_the_end() -> None:
    a_plan = plan("1 10:00", "?48h", "+1h", "4 10:00")
    timeline = send(a_plan, begin(a_plan, None, local("UTC", "2026-03-02 08:00")))  # a Monday
    assert shown("UTC", due(a_plan, timeline).due_at) == "2026-03-04 10:00"
    assert describe(timeline, due(a_plan, timeline)) == "a reply, or 2d after s1, Wed 2026-03-04 10:00 UTC"
    early = replied(timeline, "2026-03-02 10:07")
    assert describe(early, due(a_plan, early)) == "a reply came, Mon 2026-03-02 10:07 UTC"
    assert due(a_plan, replied(timeline, "2026-03-02 09:59")).due_at == local("UTC", "2026-03-02 10:00")
    assert shown("UTC", due(a_plan, replied(timeline, "2026-03-09 10:00")).due_at) == "2026-03-04 10:00"
    # What follows counts from it, and days stay where they are.
    early = send(a_plan, early)
    assert early.replied_at is None
    assert shown("UTC", due(a_plan, early).due_at) == "2026-03-02 11:07"
    assert shown("UTC", due(a_plan, send(a_plan, early)).due_at) == "2026-03-05 10:00"


@pytest.mark.parametrize(
    ("hours", "last"),
    [
        (0, "2026-03-05 10:00"),
        (47, "2026-03-05 10:00"),  # told late, but within the wait
        (48 + 11, "2026-03-05 10:00"),
        (48 + 13, "2026-03-06 10:00"),  # late by a day, after the longest wait
    ],
)
def test_only_what_comes_after_the_longest_wait_is_late(hours: int, last: str) -> None:
    a_plan = plan("1 10:00", "?48h", "4 10:00")
    timeline = send(a_plan, begin(a_plan, None, local("UTC", "2026-03-02 08:00")))
    timeline = send(a_plan, replied(timeline, "2026-03-02 10:00"), timedelta(hours=hours))
    assert shown("UTC", due(a_plan, timeline).due_at) == last


def test_a_reply_on_a_weekend_is_followed_on_monday_where_weekends_are_skipped() -> None:
    a_plan = plan("1 10:00", "?72h", "+24h", skip_weekends=True)
    timeline = send(a_plan, begin(a_plan, None, local("UTC", "2026-03-06 08:00")))  # a Friday
    saturday = replied(timeline, "2026-03-07 15:00")
    assert shown("UTC", due(a_plan, saturday).due_at) == "2026-03-09 15:00"
    assert shown("UTC", due(a_plan, send(a_plan, saturday)).due_at) == "2026-03-10 15:00"
