"""Devices: the WhatsApp numbers that messages are sent from, each with its gateway, pace, limit and sending hours."""

from datetime import datetime, time
from typing import Any, Literal

import asyncpg
from pydantic import Field

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.common.words import validate_name
from messaging.gateways import NAMES, validate_options
from messaging.times.durations import LONGEST_DELAY
from messaging.times.local_time import parse_time
from messaging.times.zones import check_time_zone, time_zone_warning

__all__ = [
    "ALWAYS",
    "AddedDevice",
    "Device",
    "DeviceSettings",
    "DeviceStatus",
    "Hours",
    "add_device",
    "find_gateway",
    "list_devices",
    "parse_hours",
    "parse_options",
    "set_device_status",
]

DeviceStatus = Literal["active", "paused"]

Hours = tuple[time, time]
"""From when until before when a device sends, local; the end may lie after midnight."""

ALWAYS = "always"
"""Sending hours without a beginning or an end."""


class Device(Value):
    """A device as it is stored. ``options`` may hold credentials: they are not for showing."""

    id: str
    gateway: str
    options: dict[str, Any] = Field(repr=False, exclude=True)
    option_names: tuple[str, ...]
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
    waits_until: datetime | None
    """It sends nothing before: the gateway asked for it, or it has just failed by its own fault."""
    waits_because: str | None
    replaced_by: str | None = None
    """The device that sends now what this one was to send."""


class DeviceSettings(Value):
    """What is wanted of a device. What is None stays as it is stored, or at its default in a new one."""

    id: str
    gateway: str | None = None
    """Only of a device that is stored already it may be None."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the gateway by name; an empty one is taken away, and what is not named stays."""
    min_delay: float | None = None
    max_delay: float | None = None
    daily_limit: int | None = None
    """0: no limit."""
    hours: Hours | Literal["always"] | None = None
    time_zone: str | None = None


class AddedDevice(Value):
    """What came of adding a device; ``changes``: each change in words, without the values of options."""

    device: str
    result: Literal["created", "changed", "unchanged"]
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What may not be meant, each one line."""
    rescheduled: bool = False
    """It sends at other times than before: what waits for it waits for the wrong ones."""


# What a device waits for, where it does.
COLUMNS = """
id, gateway, gateway_options as options, min_delay, max_delay, daily_limit, opens_at, closes_at, time_zone,
status, status_reason, replaced_by,
case when waits_until > clock_timestamp() then waits_until end as waits_until,
case when waits_until > clock_timestamp()
     then case when faults > 0 then 'it has failed by its own fault' else 'the gateway asked for it' end
          || coalesce(': ' || waits_reason, '') end as waits_because
"""

UPDATE_DEVICE = """
update devices
   set gateway = $2, gateway_options = $3, min_delay = $4, max_delay = $5, daily_limit = $6, opens_at = $7,
       closes_at = $8, time_zone = $9
 where id = $1
"""

# One that was replaced is in use again once it is resumed.
SET_STATUS = """
update devices
   set status = $2, status_reason = $3, faults = 0, refusals = 0, late_refusals = 0,
       replaced_by = case when $2 = 'paused' then replaced_by end
 where id = $1 and (status <> $2 or ($2 = 'active' and replaced_by is not null))
returning true
"""


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


async def add_device(connection: Connection, settings: DeviceSettings) -> AddedDevice:
    """Creates a device, or changes the one of that ID. Raises InvalidInput, also for a new one without a gateway."""
    validate_name(settings.id)
    gateway = settings.gateway or await _gateway_of(connection, settings.id)
    if gateway not in NAMES:
        raise InvalidInput(f"there is no gateway {gateway!r}, {did_you_mean(gateway, NAMES)}")
    await _check_zone(connection, settings.time_zone)
    async with connection.transaction():
        new = await connection.fetchval(
            "insert into devices (id, gateway) values ($1, $2) on conflict (id) do nothing returning true",
            settings.id,
            gateway,
        )
        before = await _load(connection, settings.id)
        after = _merge(before, gateway, settings)
        changes = _differences(before, after)
        if changes:
            await connection.execute(
                UPDATE_DEVICE,
                *(after.id, after.gateway, after.options, after.min_delay, after.max_delay),
                *(after.daily_limit, after.opens_at, after.closes_at, after.time_zone),
            )
    warning = time_zone_warning(after.time_zone)
    return AddedDevice(
        device=settings.id,
        result="created" if new else "changed" if changes else "unchanged",
        changes=() if new else tuple(changes),
        rescheduled=not new and _times(before) != _times(after),
        warnings=(f"warning: time-zone: {warning}",) if warning else (),
    )


async def list_devices(connection: Connection) -> list[Device]:
    """All devices, by ID."""
    rows = await connection.fetch(f"select {COLUMNS} from devices order by id")  # noqa: S608
    return [_device(row) for row in rows]


async def set_device_status(
    connection: Connection, device: str, status: DeviceStatus, reason: str | None = None
) -> bool:
    """Pauses or resumes a device; False where that is its status already. Raises NotFound.

    One that was replaced is in use again once it is resumed: for what names it from now on.
    """
    changed = await connection.fetchval(
        SET_STATUS,
        device,
        status,
        storable(reason, LONGEST_REASON) if reason is not None else None,
    )
    if not changed:
        devices = [row["id"] for row in await connection.fetch("select id from devices order by id")]
        if device not in devices:
            hint = did_you_mean(device, devices) or "add it with 'device add'"
            raise NotFound(f"there is no device {device!r}: {hint}")
    return bool(changed)


async def find_gateway(pool: Pool, device: str) -> tuple[str, dict[str, str]] | None:
    """The gateway of a device and its options; None where there is no such device."""
    row = await pool.fetchrow("select gateway, gateway_options from devices where id = $1", device)
    return None if row is None else (row["gateway"], row["gateway_options"])


async def _gateway_of(connection: Connection, device: str) -> str:
    """The gateway of a device that is stored. Raises InvalidInput where there is none of that ID."""
    gateways = {
        row["id"]: str(row["gateway"]) for row in await connection.fetch("select id, gateway from devices")
    }
    if device not in gateways:
        near = did_you_mean(device, gateways)
        hint = f"; {near}" if near.startswith("did you") else ""
        raise InvalidInput(
            f"there is no device {device!r} yet, and a new one needs a gateway:"
            f" add it with --gateway, one of {', '.join(NAMES)}{hint}"
        )
    return gateways[device]


async def _load(connection: Connection, device: str) -> Device:
    row = await connection.fetchrow(f"select {COLUMNS} from devices where id = $1 for update", device)  # noqa: S608
    assert row is not None, "devices are never deleted"
    return _device(row)


def _device(row: asyncpg.Record) -> Device:
    return Device.model_validate({**row, "option_names": tuple(sorted(row["options"]))})


def _merge(before: Device, gateway: str, settings: DeviceSettings) -> Device:
    """The device as it is wanted. Raises InvalidInput for what no device can be."""
    options = {**before.options, **settings.options} if gateway == before.gateway else settings.options
    options = {name: value for name, value in options.items() if value != ""}
    validate_options(gateway, options)
    min_delay, max_delay = _delays(before, settings)
    limit = before.daily_limit if settings.daily_limit is None else settings.daily_limit or None
    if limit is not None and not 0 < limit < 2**31:
        raise InvalidInput(
            f"daily-limit: {limit} is no number of messages, give 1 or more, or 0 for no limit"
        )
    opens_at, closes_at = before.opens_at, before.closes_at
    if settings.hours is not None:
        opens_at, closes_at = (None, None) if settings.hours == "always" else settings.hours
    return before.model_copy(
        update={
            "gateway": gateway,
            "options": options,
            "min_delay": min_delay,
            "max_delay": max_delay,
            "daily_limit": limit,
            "opens_at": opens_at,
            "closes_at": closes_at,
            "time_zone": settings.time_zone or before.time_zone,
        }
    )


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


def _differences(before: Device, after: Device) -> list[str]:
    pairs = (
        ("gateway", before.gateway, after.gateway),
        ("min-delay", f"{before.min_delay:g} s", f"{after.min_delay:g} s"),
        ("max-delay", f"{before.max_delay:g} s", f"{after.max_delay:g} s"),
        ("daily-limit", before.daily_limit or "none", after.daily_limit or "none"),
        ("hours", _hours(before), _hours(after)),
        ("time-zone", before.time_zone, after.time_zone),
    )
    changes = [f"{name}: {old} → {new}" for name, old, new in pairs if old != new]
    for name in sorted({*before.options, *after.options}):
        old, new = before.options.get(name), after.options.get(name)
        if old != new:
            changes.append(
                f"option {name!r} {'set' if old is None else 'taken away' if new is None else 'changed'}"
            )
    return changes


def _times(device: Device) -> tuple[object, ...]:
    return device.opens_at, device.closes_at, device.time_zone, device.daily_limit


def _hours(device: Device) -> str:
    if device.opens_at is None or device.closes_at is None:
        return ALWAYS
    return f"{device.opens_at:%H:%M}-{device.closes_at:%H:%M}"


async def _check_zone(connection: Connection, zone: str | None) -> None:
    """A device's hours are reckoned by PostgreSQL, whose zones must have it as well."""
    if zone is None:
        return
    try:
        check_time_zone(zone)
        await connection.fetchval("select now() at time zone $1", zone)
    except InvalidInput as error:
        raise InvalidInput(f"time-zone: {error}") from error
    except asyncpg.InvalidParameterValueError as error:
        raise InvalidInput(
            f"time-zone: PostgreSQL does not know {zone!r}, give another name of the zone"
        ) from error
