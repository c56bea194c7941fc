"""Who did what."""

from messaging.campaigns.store import require_campaign
from messaging.common.phones import parse_phone
from messaging.events import read
from messaging.events.read import ActPage, Event, EventFilter
from messaging.leads.device_moves import check_device
from messaging.leads.phone_changes import former_phones, present_phone
from messaging.sequences.store import find_sequence, no_such_sequence
from operations.connection import Drumbeat

__all__ = ["list_events", "show_act"]


async def list_events(
    drumbeat: Drumbeat,
    wanted: EventFilter | None = None,
    *,
    phone: str | None = None,
    default_region: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> ActPage:
    """What was done, the newest first; what was done together is one entry.

    ``phone``: of one person only, whatever numbers they have had. ``before``: the last act of the page before. Raises
    InvalidInput for an unknown kind, InvalidPhone, and NotFound for a sequence, campaign or device.
    """
    pool, wanted = await drumbeat.pool(), wanted or EventFilter()
    async with pool.acquire() as connection:
        if wanted.sequence is not None and await find_sequence(connection, wanted.sequence) is None:
            raise await no_such_sequence(connection, wanted.sequence)
        if wanted.campaign is not None:
            await require_campaign(connection, wanted.campaign)
        if wanted.device is not None:
            await check_device(connection, wanted.device)
    if phone is not None:
        number = await present_phone(pool, parse_phone(phone, default_region))
        phones = (number, *(one.phone for one in await former_phones(pool, number)))
        wanted = wanted.model_copy(update={"phones": phones})
    return await read.list_acts(pool, wanted, limit=limit, before=before)


async def show_act(drumbeat: Drumbeat, act: int, *, limit: int = 1000) -> list[Event]:
    """Each event of one act, at most ``limit``: whom it concerned. Empty if there is no such act."""
    return await read.events_of_act(await drumbeat.pool(), act, limit=limit)
