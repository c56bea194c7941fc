"""Converts between moments and the local time of a zone.

Where a zone's clocks jump, this follows RFC 5545 (section 3.3.5) and PEP 495:

- a time that clocks skip moves forward by the length of the gap (02:30 becomes 03:30 where the gap is one hour);
- a time that clocks show twice means the first of the two.
"""

import re
from datetime import UTC, datetime, time, tzinfo
from zoneinfo import ZoneInfo

from messaging.common.errors import InvalidInput

__all__ = ["as_utc", "format_moment", "format_wall", "load_zone", "moment_of", "parse_time", "wall_of"]

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


def load_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name, e.g. ``Asia/Kuala_Lumpur``. Raises InvalidInput if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not found; not a name at all; the name of a folder
        raise InvalidInput(
            f"time zone {name!r} is unknown: give an IANA name such as Asia/Kuala_Lumpur"
        ) from error


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError for a naive one, which is no moment."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC)


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the zone's clocks show at that moment, as a naive datetime."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which the zone's clocks show ``wall`` (naive); see above for gaps and folds."""
    # With fold=0, a zone answers with the offset before the jump: that is both rules.
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def format_wall(moment: datetime, zone: tzinfo = UTC) -> str:
    """``2026-11-30 08:00:05``: what the zone's clocks show, for tables whose heading names the zone. It is the one form of
    dates and times in what Drumbeat says to people.
    """
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def format_moment(moment: datetime, zone: tzinfo = UTC) -> str:
    """The same with the zone: ``2026-11-30 08:00:05 Asia/Kuala_Lumpur``."""
    return f"{format_wall(moment, zone)} {zone}"


def parse_time(value: object) -> time:
    """A time of day, ``HH:MM`` or ``HH:MM:SS``. Raises InvalidInput for anything else."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput(f'{value!r} is not a time of day, write HH:MM, e.g. "10:00"')
    hour, minute, second = (int(part or 0) for part in match.groups())
    return time(hour, minute, second)
