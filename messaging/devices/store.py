"""Devices: the WhatsApp numbers that messages are sent from, each with its gateway, pace, limit and sending hours."""

from typing import Literal

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.common.words import validate_name
from messaging.devices.device import (
    Device,
    DeviceSettings,
    DeviceStatus,
    differences,
    merged,
    sending_times,
)
from messaging.events.latest import paused_by
from messaging.gateways import NAMES
from messaging.times.zones import check_time_zone, time_zone_warning

__all__ = [
    "AddedDevice",
    "add_device",
    "check_zone",
    "find_gateway",
    "list_devices",
    "require_device",
    "set_device_status",
]


class AddedDevice(Value):
    """The result of adding a device. ``changes``: each change in words, without the values of options."""

    device: str
    result: Literal["created", "changed", "unchanged"]
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings, one line each."""
    rescheduled: bool = False
    """True if its sending times have changed: waiting messages wait for the wrong times."""


# waits_because: what the device waits for, if it does.
COLUMNS = """
id, gateway, gateway_options as options, service_window, min_delay, max_delay, daily_limit, opens_at, closes_at, time_zone,
status, status_reason, replaced_by, stop_keywords, start_keywords, opt_out_confirmation,
case when waits_until > clock_timestamp() then waits_until end as waits_until,
case when waits_until > clock_timestamp()
     then case when faults > 0 then 'it has failed by its own fault' else 'the gateway asked for it' end
          || coalesce(': ' || waits_reason, '') end as waits_because
"""

UPDATE_DEVICE = """
update devices
   set gateway = $2, gateway_options = $3, min_delay = $4, max_delay = $5, daily_limit = $6, opens_at = $7,
       closes_at = $8, time_zone = $9, stop_keywords = $10, start_keywords = $11, service_window = $12,
       opt_out_confirmation = $13
 where id = $1
"""

# Resuming a replaced device puts it back into use.
SET_STATUS = """
update devices
   set status = $2, status_reason = $3, faults = 0, refusals = 0, late_refusals = 0,
       replaced_by = case when $2 = 'paused' then replaced_by end
 where id = $1 and (status <> $2 or ($2 = 'active' and replaced_by is not null))
returning true
"""


async def add_device(connection: Connection, settings: DeviceSettings) -> AddedDevice:
    """Creates a device, or changes the one of that ID. Raises InvalidInput, also for a new one without a gateway."""
    validate_name(settings.id)
    gateway = settings.gateway or await _gateway_of(connection, settings.id)
    if gateway not in NAMES:
        raise InvalidInput(f"there is no gateway {gateway!r}; {did_you_mean(gateway, NAMES)}")
    await check_zone(connection, settings.time_zone)
    async with connection.transaction():
        new = await connection.fetchval(
            "insert into devices (id, gateway) values ($1, $2) on conflict (id) do nothing returning true",
            settings.id,
            gateway,
        )
        before = await _load(connection, settings.id)
        after, missing = merged(before, gateway, settings)
        changes = differences(before, after)
        if changes or new:
            await connection.execute(
                UPDATE_DEVICE,
                *(after.id, after.gateway, after.options, after.min_delay, after.max_delay),
                *(after.daily_limit, after.opens_at, after.closes_at, after.time_zone),
                *(after.stop_keywords, after.start_keywords, after.service_window),
                after.opt_out_confirmation,
            )
    warning = time_zone_warning(after.time_zone)
    return AddedDevice(
        device=settings.id,
        result="created" if new else "changed" if changes else "unchanged",
        changes=() if new else tuple(changes),
        rescheduled=not new and sending_times(before) != sending_times(after),
        warnings=(
            *((f"warning: time-zone: {warning}",) if warning else ()),
            *(f"warning: option {words}" for words in missing),
        ),
    )


async def list_devices(connection: Connection) -> list[Device]:
    """All devices, by ID."""
    rows = await connection.fetch(f"select {COLUMNS} from devices order by id")  # noqa: S608
    listed = [_device(row) for row in rows]
    paused = await paused_by(connection, "device", [one.id for one in listed if one.status == "paused"])
    return [one.model_copy(update={"paused_by": paused.get(one.id)}) for one in listed]


async def set_device_status(
    connection: Connection, device: str, status: DeviceStatus, reason: str | None = None
) -> bool:
    """Pauses or resumes a device; False if it has that status already. Raises NotFound.

    Resuming a replaced device puts it back into use, for leads and sequences that name it from now on.
    """
    changed = await connection.fetchval(
        SET_STATUS,
        device,
        status,
        storable(reason, LONGEST_REASON) if reason is not None else None,
    )
    if not changed:
        await require_device(connection, device)
    return bool(changed)


async def require_device(connection: Connection, device: str) -> Device:
    """The device of that ID. Raises NotFound."""
    devices = {one.id: one for one in await list_devices(connection)}
    if device not in devices:
        hint = did_you_mean(device, list(devices)) or "add it with 'device add'"
        raise NotFound(f"there is no device {device!r}: {hint}")
    return devices[device]


async def find_gateway(pool: Pool, device: str) -> tuple[str, dict[str, str]] | None:
    """The gateway of a device and its options; None if there is no such device."""
    row = await pool.fetchrow("select gateway, gateway_options from devices where id = $1", device)
    return None if row is None else (row["gateway"], row["gateway_options"])


async def _gateway_of(connection: Connection, device: str) -> str:
    """The gateway of a stored device. Raises InvalidInput if there is no such device."""
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


async def check_zone(connection: Connection, zone: str | None) -> None:
    """Raises InvalidInput unless the time zone is one that PostgreSQL knows too, which computes with it."""
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
