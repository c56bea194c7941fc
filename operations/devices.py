"""Devices, as services and operators handle them: add and change them, look at them, pause and resume them."""

from datetime import datetime

from messaging.common.values import Value
from messaging.devices import store as devices
from messaging.devices.device import DeviceSettings, DeviceStatus
from messaging.devices.store import AddedDevice
from messaging.devices.waits import lift_wait, queue_anew
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations import signals
from operations.connection import Drumbeat
from operations.reports import list_devices

__all__ = ["DeviceAdded", "DeviceStatusChange", "add", "list_devices", "pause", "resume"]


class DeviceStatusChange(Value):
    """A device's status; ``changed``: whether it was another before. ``contacts_woken``: how many go on now."""

    device: str
    status: DeviceStatus
    changed: bool
    contacts_woken: int = 0
    waited_until: datetime | None = None
    """Until when it would have waited by itself, had it not been resumed."""
    under_way: tuple[UnderWay, ...] = ()
    """What an attempt had in its hands already."""


class DeviceAdded(AddedDevice):
    """What came of adding a device. ``contacts_woken``: whose message waited for it and goes by the new times now."""

    contacts_woken: int = 0


async def add(drumbeat: Drumbeat, settings: DeviceSettings) -> DeviceAdded:
    """Creates a device, or changes the one of that ID; the same again changes nothing.

    Other sending hours, another zone or limit hold for what waits already. Raises InvalidInput and Unavailable.
    """
    woken = 0
    async with (await drumbeat.pool()).acquire() as connection:
        added = await devices.add_device(connection, settings)
        if added.rescheduled:
            await queue_anew(connection, added.device)
    if added.rescheduled:
        woken = await signals.wake_held(drumbeat, "device", added.device)
    return DeviceAdded(**added.model_dump(), contacts_woken=woken)


async def pause(drumbeat: Drumbeat, device: str, reason: str | None = None) -> DeviceStatusChange:
    """Sends nothing more through the device until it is resumed; what is due waits. Raises NotFound.

    Answers when nothing more can begin to be sent.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        changed = await devices.set_device_status(connection, device, "paused", reason)
    under_way = await nothing_begins_any_more(pool, device=device)
    return DeviceStatusChange(device=device, status="paused", changed=changed, under_way=under_way)


async def resume(drumbeat: Drumbeat, device: str) -> DeviceStatusChange:
    """Ends the pause, and what the device waits for by itself, because its gateway asked for it or it has failed.

    Wakes what it held up, also if it had ended before. Raises NotFound, Unavailable.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        changed = await devices.set_device_status(connection, device, "active")
        waited_until = await lift_wait(connection, device)
    woken = await signals.wake_held(drumbeat, "device", device)
    return DeviceStatusChange(
        device=device,
        status="active",
        changed=changed or waited_until is not None,
        contacts_woken=woken,
        waited_until=waited_until,
    )
