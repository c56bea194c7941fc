"""When a campaign starts: at a moment, or in each recipient's time zone when the clocks there show its time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

from messaging.database import Connection, Record
from messaging.local_time import load_zone, moment_of

__all__ = ["RECIPIENT", "has_passed", "local_moments", "start_of", "when"]

RECIPIENT = "recipient"
"""The ``time_zone`` of a campaign that goes out at each recipient's own local time."""

LAST_ZONE = timedelta(hours=12)
"""How far the last places on earth are behind UTC: what has passed there has passed everywhere."""


def has_passed(scheduled_at: datetime | None, time_zone: str, now: datetime) -> bool:
    """Whether that local time is over; in each recipient's time zone: whether it is over everywhere on earth."""
    if scheduled_at is None:
        return False
    if time_zone == RECIPIENT:
        return scheduled_at.replace(tzinfo=UTC) + LAST_ZONE < now
    return moment_of(scheduled_at, load_zone(time_zone)) < now


def local_moments(scheduled_at: datetime, others: Iterable[str]) -> dict[str, datetime]:
    """For every time zone, and the ``others``, the moment at which its clocks show that time."""
    zones = available_timezones().union(others)
    return {zone: moment_of(scheduled_at, load_zone(zone)) for zone in sorted(zones)}


async def start_of(connection: Connection, row: Record) -> datetime:
    """The first moment at which one of a campaign's messages is due; it may have passed. ``row`` has a ``now``."""
    scheduled_at: datetime | None = row["scheduled_at"]
    if row["start_now"] or scheduled_at is None:
        now: datetime = row["now"]
        return now
    if row["time_zone"] != RECIPIENT:
        return moment_of(scheduled_at, load_zone(row["time_zone"]))
    zones = await connection.fetch("select distinct zone from campaign_audience($1)", row["id"])
    moments = [moment_of(scheduled_at, load_zone(zone["zone"])) for zone in zones]
    return min(moments, default=scheduled_at.replace(tzinfo=UTC))


def when(row: Record) -> str:
    """The start as a person says it."""
    if row["start_now"] or row["scheduled_at"] is None:
        return "at once"
    zone = "in each recipient's time zone" if row["time_zone"] == RECIPIENT else row["time_zone"]
    return f"{row['scheduled_at']:%Y-%m-%d %H:%M} {zone}"
