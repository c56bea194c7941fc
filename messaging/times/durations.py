"""Durations as people write them (``48h``, ``1h30m``, ``2d``, ``5s``), and when a step comes."""

import re
from datetime import time, timedelta

from messaging.common.errors import InvalidInput

__all__ = ["LONGEST_DELAY", "format_duration", "format_when", "parse_duration"]

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?=\d)(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?")

LONGEST = timedelta(days=3650)

LONGEST_DELAY = 86_400.0
"""Seconds between two sends of a device, at most."""


def parse_duration(text: str) -> timedelta:
    """The duration, at most ten years. Days are 24 hours. Raises InvalidInput for anything else."""
    match = _DURATION.fullmatch(text.replace(" ", "").lower())
    if match is None:
        raise InvalidInput(f'{text!r} is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"')
    duration = timedelta(
        **{unit: int(number or 0) for unit, number in zip(_UNITS.values(), match.groups(), strict=True)}
    )
    if duration > LONGEST:
        raise InvalidInput(f"{text!r} is longer than ten years")
    return duration


def format_duration(duration: timedelta) -> str:
    """The duration as parse_duration() reads it, in whole seconds; at least two days are days."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def format_when(
    day: int | None, at: time | None, after: timedelta | None, wait_for: timedelta | None = None
) -> str:
    """When a step comes: ``day 3 10:00``, ``day 3``, ``after 2d`` or ``on a reply, or after 2d``."""
    if wait_for is not None:
        return f"on a reply, or after {format_duration(wait_for)}"
    if after is not None:
        return f"after {format_duration(after)}"
    return f"day {day}" + (f" {at:%H:%M}" if at is not None else "")
