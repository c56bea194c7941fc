"""A stored device, and the settings that an operator asks for: how they are written and applied. Pure functions."""

from datetime import datetime, time
from typing import Any, Literal

from pydantic import Field

from messaging.common.errors import InvalidInput
from messaging.common.keywords import parse_keywords
from messaging.common.values import Value
from messaging.events.latest import By
from messaging.gateways import has_service_window, validate_options
from messaging.times.durations import LONGEST_DELAY
from messaging.times.local_time import parse_time

__all__ = [
    "ALWAYS",
    "Device",
    "DeviceSettings",
    "DeviceStatus",
    "Hours",
    "differences",
    "merged",
    "parse_hours",
    "parse_options",
    "sending_times",
]

DeviceStatus = Literal["active", "paused"]

Hours = tuple[time, time]
"""Local times between which a device sends; the end may be after midnight."""

ALWAYS = "always"
"""Sending hours that never close."""


NO_CONFIRMATION = "none"
"""In place of a text that confirms opt-outs: none goes out."""


class Device(Value):
    """A device as it is stored. ``options`` may hold credentials: they are not for showing."""

    id: str
    gateway: str
    options: dict[str, Any] = Field(repr=False, exclude=True)
    option_names: tuple[str, ...]
    service_window: bool = False
    """True if its gateway takes free text only within 24 hours of a person's last message to it."""
    min_delay: float
    """Seconds between two sends, at least."""
    max_delay: float
    """Seconds between two reserved slots, at most."""
    daily_limit: int | None
    opens_at: time | None
    closes_at: time | None
    time_zone: str
    status: DeviceStatus
    status_reason: str | None
    paused_by: By | None = None
    """Who paused it, in lists."""
    waits_until: datetime | None
    """It sends nothing before: the gateway asked it to wait, or it has just had a failure of its own."""
    waits_because: str | None
    stop_keywords: tuple[str, ...] | None = None
    """Folded; None: the usual ones."""
    start_keywords: tuple[str, ...] | None = None
    opt_out_confirmation: str | None = None
    """What goes out after an opt-out by keyword; empty: nothing; None: what the worker's setting says."""
    replaced_by: str | None = None
    """The device that has replaced this one."""


class DeviceSettings(Value):
    """The settings to apply to a device. None leaves the stored value, or the default in a new device."""

    id: str
    gateway: str | None = None
    """May be None only for a stored device."""
    options: dict[str, str] = Field(default_factory=dict)
    """The gateway's options by name. An empty value removes the option; options that are not named stay."""
    min_delay: float | None = None
    max_delay: float | None = None
    daily_limit: int | None = None
    """0: no limit."""
    hours: Hours | Literal["always"] | None = None
    time_zone: str | None = None
    stop_keywords: str | None = None
    """Comma-separated words that opt out a recipient who answers one of them to this device; an empty text: the usual
    words.
    """
    start_keywords: str | None = None
    opt_out_confirmation: str | None = None
    """A text, in Liquid; ``none``: nothing goes out; an empty text: what the worker's setting says."""


def parse_hours(text: str) -> Hours | Literal["always"]:
    """Sending hours, ``09:00-18:00`` or ``always``. Raises InvalidInput."""
    if text.strip().lower() == ALWAYS:
        return "always"
    opens, dash, closes = text.replace(" ", "").partition("-")
    if not dash:
        raise InvalidInput(f"hours: {text!r} are no sending hours, write e.g. 09:00-18:00, or always")
    try:
        hours = parse_time(opens), parse_time(closes)
    except InvalidInput as error:
        raise InvalidInput(f"hours: {error}") from error
    if hours[0] == hours[1]:
        raise InvalidInput(f"hours: {text!r} open and close at the same time, write always for no hours")
    return hours


def parse_options(options: list[str]) -> dict[str, str]:
    """Options of a gateway, each ``key=value``. Raises InvalidInput."""
    parsed: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.strip():
            raise InvalidInput("option: write each as key=value, e.g. --option url=http://127.0.0.1:8055")
        if key.strip() in parsed:
            raise InvalidInput(f"option: {key.strip()!r} is given twice")
        parsed[key.strip()] = value.strip()
    return parsed


def merged(before: Device, gateway: str, settings: DeviceSettings) -> tuple[Device, tuple[str, ...]]:
    """The device with the settings applied, and a sentence for each credential that is not there where this runs. Raises
    InvalidInput for an impossible setting.
    """
    options = {**before.options, **settings.options} if gateway == before.gateway else settings.options
    options = {name: value for name, value in options.items() if value != ""}
    missing = validate_options(gateway, options, credentials=settings.options.keys())
    min_delay, max_delay = _delays(before, settings)
    limit = before.daily_limit if settings.daily_limit is None else settings.daily_limit or None
    if limit is not None and not 0 < limit < 2**31:
        raise InvalidInput(
            f"daily-limit: {limit} is no number of messages, give 1 or more, or 0 for no limit"
        )
    opens_at, closes_at = before.opens_at, before.closes_at
    if settings.hours is not None:
        opens_at, closes_at = (None, None) if settings.hours == "always" else settings.hours
    device = before.model_copy(
        update={
            "gateway": gateway,
            "options": options,
            "service_window": has_service_window(gateway, options),
            "min_delay": min_delay,
            "max_delay": max_delay,
            "daily_limit": limit,
            "opens_at": opens_at,
            "closes_at": closes_at,
            "time_zone": settings.time_zone or before.time_zone,
            "stop_keywords": _keywords("stop-keywords", settings.stop_keywords, before.stop_keywords),
            "start_keywords": _keywords("start-keywords", settings.start_keywords, before.start_keywords),
            "opt_out_confirmation": _confirmation(settings.opt_out_confirmation, before.opt_out_confirmation),
        }
    )
    return device, missing


def _keywords(option: str, wanted: str | None, before: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The folded words; None for the usual ones. Raises InvalidInput."""
    if wanted is None:
        return before
    try:
        return tuple(parse_keywords(wanted)) or None
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error}") from error


def _confirmation(wanted: str | None, before: str | None) -> str | None:
    if wanted is None:
        return before
    return "" if wanted.strip().lower() == NO_CONFIRMATION else wanted.strip() or None


def _delays(before: Device, settings: DeviceSettings) -> tuple[float, float]:
    """The least and the longest delay, in seconds. Raises InvalidInput."""
    min_delay = before.min_delay if settings.min_delay is None else settings.min_delay
    max_delay = before.max_delay if settings.max_delay is None else settings.max_delay
    for name, seconds in (("min-delay", min_delay), ("max-delay", max_delay)):
        if not 0 <= seconds <= LONGEST_DELAY:
            raise InvalidInput(f"{name}: {seconds:g} is no number of seconds from 0 to {LONGEST_DELAY:,.0f}")
    if min_delay > max_delay:
        raise InvalidInput(f"min-delay: {min_delay:g} s is more than max-delay, which is {max_delay:g} s")
    return min_delay, max_delay


def differences(before: Device, after: Device) -> list[str]:
    """Each change in words, without the values of options."""
    pairs = (
        ("gateway", before.gateway, after.gateway),
        ("min-delay", f"{before.min_delay:g} s", f"{after.min_delay:g} s"),
        ("max-delay", f"{before.max_delay:g} s", f"{after.max_delay:g} s"),
        ("daily-limit", before.daily_limit or "none", after.daily_limit or "none"),
        ("hours", _hours(before), _hours(after)),
        ("time-zone", before.time_zone, after.time_zone),
        ("stop-keywords", _listed(before.stop_keywords), _listed(after.stop_keywords)),
        ("start-keywords", _listed(before.start_keywords), _listed(after.start_keywords)),
        (
            "opt-out-confirmation",
            _format_confirmation(before.opt_out_confirmation),
            _format_confirmation(after.opt_out_confirmation),
        ),
    )
    changes = [f"{name}: {old} → {new}" for name, old, new in pairs if old != new]
    for name in sorted({*before.options, *after.options}):
        old, new = before.options.get(name), after.options.get(name)
        if old != new:
            changes.append(
                f"option {name!r} {'set' if old is None else 'taken away' if new is None else 'changed'}"
            )
    return changes


def _listed(keywords: tuple[str, ...] | None) -> str:
    return "the usual ones" if keywords is None else ", ".join(keywords)


def _format_confirmation(text: str | None) -> str:
    return "the setting's" if text is None else repr(text) if text else NO_CONFIRMATION


def sending_times(device: Device) -> tuple[object, ...]:
    """The settings that decide when the device may send, except its pace."""
    return device.opens_at, device.closes_at, device.time_zone, device.daily_limit


def _hours(device: Device) -> str:
    if device.opens_at is None or device.closes_at is None:
        return ALWAYS
    return f"{device.opens_at:%H:%M}-{device.closes_at:%H:%M}"
