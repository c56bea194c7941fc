"""Computes when the messages of a campaign are due and expire: at one moment, or at each recipient's local time.

Whether a time has passed is judged as of the operator's last decision on it: the start, a new time, or a resume. An
outage of the workers does not change that; the claim decides about messages that are late by then.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from messaging.common.database import Connection, Record
from messaging.common.values import Value
from messaging.times.local_time import load_zone, moment_of, wall_of

__all__ = [
    "IF_PASSED",
    "RECIPIENT",
    "IfPassed",
    "Timing",
    "Turn",
    "has_passed",
    "is_night",
    "start_of",
    "turns",
    "until_of",
    "when",
]

RECIPIENT = "recipient"
"""The ``time_zone`` of a campaign that goes out at each recipient's own local time."""

IfPassed = Literal["next_day", "leave_out", "send"]
"""What happens to recipients whose local time has passed when the campaign starts, or before their turn comes."""

IF_PASSED: tuple[IfPassed, ...] = get_args(IfPassed)

LAST_ZONE = timedelta(hours=12)
"""How far the last places on earth are behind UTC: a time that has passed there has passed everywhere."""

NIGHT = (time(21), time(8))
"""Local times between which no phone is to be called: 47 CFR 64.1200(c)(1). The first is also in the claim's SQL."""


class Timing(Value):
    """A campaign's settings for its time. ``scheduled_at`` and ``until`` are local, in ``time_zone``."""

    scheduled_at: datetime | None
    time_zone: str
    until: str | None = None
    if_passed: IfPassed = "next_day"
    asked_at: datetime
    """When an operator last decided on it."""

    @classmethod
    def of(cls, row: Record) -> Self:
        """The timing of a campaign's row, which must have a ``now``."""
        return cls(
            scheduled_at=None if row["start_now"] else row["scheduled_at"],
            time_zone=row["time_zone"],
            until=row["until"],
            if_passed=row["if_passed"],
            asked_at=row["asked_at"] or row["now"],
        )


class Turn(NamedTuple):
    """When recipients in one time zone get the message."""

    due_at: datetime | None
    """None: at once."""
    expires_at: datetime | None
    passed: bool = False
    """Their local time had passed."""
    left_out: bool = False

    def over(self, now: datetime) -> bool:
        """Whether their turn comes too late."""
        begins = max(self.due_at or now, now)
        return not self.left_out and self.expires_at is not None and self.expires_at <= begins


def turns(timing: Timing, others: Iterable[str] = ()) -> dict[str, Turn]:
    """For every time zone that recipients may be in, and for the ``others``, when they get the message."""
    zones = sorted(available_timezones().union(others))
    if timing.time_zone != RECIPIENT:
        turn = _turn(timing, load_zone(timing.time_zone))
        return dict.fromkeys(zones, turn)
    return {name: _turn(timing, load_zone(name)) for name in zones}


def _turn(timing: Timing, zone: ZoneInfo) -> Turn:
    wall, asked = timing.scheduled_at, wall_of(timing.asked_at, zone)
    expires_at = None
    if timing.until is not None:
        day, clock = until_of(timing.until)
        expires_at = moment_of(datetime.combine(day or (wall or asked).date(), clock), zone)
    if wall is None:
        return Turn(None, expires_at)
    due_at = moment_of(wall, zone)
    if timing.time_zone != RECIPIENT or due_at >= timing.asked_at:
        return Turn(due_at, expires_at)
    if timing.if_passed == "next_day":
        due_at = _next(wall.time(), zone, timing.asked_at)
    return Turn(due_at, expires_at, passed=True, left_out=timing.if_passed == "leave_out")


def _next(clock: time, zone: ZoneInfo, floor: datetime) -> datetime:
    """The next moment at which the zone's clocks show that time."""
    wall = datetime.combine(wall_of(floor, zone).date(), clock)
    while moment_of(wall, zone) < floor:
        wall += timedelta(days=1)
    return moment_of(wall, zone)


def until_of(text: str) -> tuple[date | None, time]:
    """The local date (None: that of the start) and time of a stored ``until``."""
    day, _, clock = text.rpartition(" ")
    return date.fromisoformat(day) if day else None, time.fromisoformat(clock)


def is_night(moment: datetime, zone: ZoneInfo) -> bool:
    """True if it is night there."""
    clock = wall_of(moment, zone).time()
    return clock >= NIGHT[0] or clock < NIGHT[1]


def has_passed(scheduled_at: datetime | None, time_zone: str, now: datetime) -> bool:
    """True if that local time has passed; for each recipient's own time, True if it has passed everywhere on earth."""
    if scheduled_at is None:
        return False
    if time_zone == RECIPIENT:
        return scheduled_at.replace(tzinfo=UTC) + LAST_ZONE < now
    return moment_of(scheduled_at, load_zone(time_zone)) < now


async def start_of(connection: Connection, row: Record) -> datetime:
    """The first moment at which one of a campaign's messages is due; it may have passed. ``row`` has a ``now``."""
    timing = Timing.of(row)
    now: datetime = row["now"]
    if timing.scheduled_at is None:
        return now
    if timing.time_zone != RECIPIENT:
        return moment_of(timing.scheduled_at, load_zone(timing.time_zone))
    zones = await connection.fetch("select distinct zone from campaign_audience($1)", row["id"])
    present = [_turn(timing, load_zone(zone["zone"])) for zone in zones]
    moments = [turn.due_at or now for turn in present if not turn.left_out]
    return min(moments, default=now if present else timing.scheduled_at.replace(tzinfo=UTC))


def when(row: Record) -> str:
    """The start in words, and the end if there is one."""
    until = f", until {row['until']}" if row["until"] else ""
    zone = "in each recipient's time zone" if row["time_zone"] == RECIPIENT else row["time_zone"]
    if row["start_now"] or row["scheduled_at"] is None:
        return f"at once{until}{f' {zone}' if until else ''}"
    return f"{row['scheduled_at']:%Y-%m-%d %H:%M}{until} {zone}"
