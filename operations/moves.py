"""Moves what is to be sent to another device: for one lead, or for a whole device."""

from functools import partial

from messaging.common.database import Connection
from messaging.common.transactions import all_or_nothing
from messaging.common.values import Value
from messaging.events.record import say_more
from messaging.leads import device_moves
from messaging.leads.device_moves import Moved
from messaging.leads.known_phones import find_phone
from messaging.leads.phone_changes import present_phone
from messaging.selection.leads import SelectedLeads, find_leads, selected_phones
from messaging.selection.moves import elsewhere
from messaging.selection.selection import Selection
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations import campaigns, signals
from operations.connection import Drumbeat

__all__ = [
    "DeviceReplaced",
    "find_leads_to_move",
    "follow_moved",
    "move_lead",
    "move_leads",
    "replace_device",
]


class DeviceReplaced(Value):
    """``by`` has replaced ``device``. ``changed``: False if it had before."""

    device: str
    by: str
    changed: bool
    moved: Moved
    under_way: tuple[UnderWay, ...] = ()
    """Messages that ``device`` was sending already."""


async def replace_device(drumbeat: Drumbeat, old: str, new: str) -> DeviceReplaced:
    """Lets ``new`` send from now on what ``old`` was to send: leads, active contacts, waiting messages.

    Returns when ``old`` cannot begin to send any more. A message that it is sending, or may have sent, stays with it
    until it is settled. Repeating it moves what ``old`` has got since, and is otherwise harmless. Raises NotFound,
    InvalidInput and Unavailable.
    """
    pool = await drumbeat.pool()
    changed, moved = await device_moves.replace_device(pool, old, new)
    await follow_moved(drumbeat, moved)
    under_way = await nothing_begins_any_more(pool, device=old)
    return DeviceReplaced(device=old, by=new, changed=changed, moved=moved, under_way=under_way)


async def move_lead(
    drumbeat: Drumbeat, phone: str, device: str, *, default_region: str | None = None
) -> Moved:
    """Moves one lead to a device, with all that is to be sent to it. Raises InvalidPhone, NotFound, Unavailable."""
    async with (await drumbeat.pool()).acquire() as connection, connection.transaction():
        await device_moves.check_device(connection, device)
        number = await present_phone(connection, await find_phone(connection, phone, default_region))
        moved = await device_moves.move_leads(connection, [number], device)
    await follow_moved(drumbeat, moved)
    return moved


async def find_leads_to_move(drumbeat: Drumbeat, selection: Selection, device: str) -> SelectedLeads:
    """The leads that a move to this device would concern now: how many, and some of them.

    Raises InvalidInput for a filter that is not understood, and NotFound for names.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        await device_moves.check_device(connection, device)
        return await find_leads(connection, selection, partial(elsewhere, device))


async def move_leads(drumbeat: Drumbeat, selection: Selection, device: str) -> Moved:
    """Moves the selected leads to a device, with all that is to be sent to them, in one transaction.

    Raises as find_leads_to_move does.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        await device_moves.check_device(connection, device)
        moved = await all_or_nothing(connection, partial(_move, connection, selection, device))
    await follow_moved(drumbeat, moved)
    return moved


async def _move(connection: Connection, selection: Selection, device: str) -> Moved:
    await say_more(connection, chosen=selection.words)
    phones = await selected_phones(connection, selection, partial(elsewhere, device))
    return await device_moves.move_leads(connection, phones, device)


async def follow_moved(drumbeat: Drumbeat, moved: Moved) -> None:
    """Signals the workflows of what was moved: those that wait, and those that feed campaigns. Raises Unavailable."""
    if moved.messages or moved.in_flight:
        for device in moved.devices:
            await signals.wake_held(drumbeat, "device", device)
    for campaign in moved.campaigns:
        await campaigns.notify_or_start(drumbeat, campaign)
