"""Operations on devices: add, change, pause and resume."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from messaging.common.errors import InvalidInput
from messaging.common.keywords import parse_keywords
from messaging.common.values import Value
from messaging.devices import store as devices
from messaging.devices.device import DeviceSettings, DeviceStatus
from messaging.devices.store import AddedDevice
from messaging.devices.waits import lift_wait, requeue
from messaging.leads.without_device import count_without_device
from messaging.replies.confirmations import check_confirmation
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences.checks import check_stop_words
from operations import signals
from operations.connection import Drumbeat
from operations.reports import list_devices

__all__ = [
    "DeviceAdded",
    "DeviceStatusChange",
    "add",
    "list_devices",
    "pause",
    "resume",
    "warn_if_unreachable",
]

REACHED_WITHIN = 3.0
"""Seconds for a gateway's address to answer, when a device is added."""


class DeviceStatusChange(Value):
    """The status of a device. ``changed``: False if it had that status before. ``contacts_woken``: how many go on
    now.
    """

    device: str
    status: DeviceStatus
    changed: bool
    contacts_woken: int = 0
    waited_until: datetime | None = None
    """Until when it would have waited, if it had not been resumed."""
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


class DeviceAdded(AddedDevice):
    """The result of adding a device. ``contacts_woken``: how many waited for it and go by its new times now."""

    contacts_woken: int = 0
    leads_without_device: int = 0
    """Of a new device that is not the only one: how many leads have no device of their own, and so none to write from."""


async def add(drumbeat: Drumbeat, settings: DeviceSettings) -> DeviceAdded:
    """Creates a device, or changes the one with that ID. Repeating it changes nothing.

    New sending hours, a new zone or limit also apply to messages that wait already. Raises InvalidInput and
    Unavailable.
    """
    woken = 0
    if settings.opt_out_confirmation:
        try:
            check_confirmation(settings.opt_out_confirmation)
        except InvalidInput as error:
            raise InvalidInput(f"opt-out-confirmation: {error}") from error
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        words = [settings.stop_keywords, settings.start_keywords]
        await check_stop_words(
            connection, [word for given in words if given for word in parse_keywords(given)]
        )
        added = await devices.add_device(connection, settings)
        if added.rescheduled:
            await requeue(connection, added.device)
    if added.rescheduled:
        woken = await signals.wake_held(drumbeat, "device", added.device)
    without = await count_without_device(pool) if added.result == "created" else 0
    return DeviceAdded(**added.model_dump(), contacts_woken=woken, leads_without_device=without)


async def warn_if_unreachable(options: Mapping[str, str]) -> tuple[str, ...]:
    """A warning if nothing answers at the gateway's address, as its option ``url`` says it. Nothing is asked of the gateway, and
    nothing refused: the workers may reach what this machine cannot.
    """
    parts = urlsplit(options.get("url", ""))
    if not parts.hostname:
        return ()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(REACHED_WITHIN):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:  # TimeoutError is one
        refused = isinstance(error, ConnectionRefusedError)  # whose own words are asyncio's
        why = (
            "connection refused" if refused else error.strerror or f"no answer in {REACHED_WITHIN:g} seconds"
        )
        return (
            f"warning: option url: nothing answers at {parts.hostname}:{port} from here ({why}); the workers have to reach it",
        )
    writer.close()
    return ()


async def pause(drumbeat: Drumbeat, device: str, reason: str | None = None) -> DeviceStatusChange:
    """Pauses a device: it sends nothing until it is resumed; due messages wait. Raises NotFound.

    Returns when no more message can begin to be sent.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        changed = await devices.set_device_status(connection, device, "paused", reason)
    under_way = await nothing_begins_any_more(pool, device=device)
    return DeviceStatusChange(device=device, status="paused", changed=changed, under_way=under_way)


async def resume(drumbeat: Drumbeat, device: str) -> DeviceStatusChange:
    """Resumes a device. This also ends a wait that its gateway asked for or that followed a failure.

    Wakes the contacts that it held, even if the pause had ended before. Raises NotFound and Unavailable.
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
