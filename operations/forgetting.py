"""Forgets a person, takes that back, and gives a person what is known of them."""

import asyncio

from activities.erasures import erase_further
from messaging.common.errors import Conflict, NotFound
from messaging.common.values import Value
from messaging.leads.forgotten import find_tombstone
from messaging.leads.known_phones import find_phone
from messaging.privacy import erasing
from messaging.privacy.erasing import Locked
from messaging.privacy.export import PersonExport, export_person, stored_rows
from messaging.privacy.person import Workflow, find_person
from messaging.privacy.tables import TABLES
from operations.connection import Drumbeat
from temporal.deletion import is_campaigns_own
from temporal.ids import campaign_lead_workflow_id, message_workflow_id, sequence_workflow_id

__all__ = ["Forgotten", "Known", "Remembered", "export_contact", "forget_contact", "known_of", "remember"]

PATIENCE = 20.0
"""Seconds to wait for a message that is on its way, and for Temporal."""

LOOK_EVERY = 0.2
"""Seconds."""


class Known(Value):
    """What is stored of a person, before they are forgotten."""

    phone: str
    phones: tuple[str, ...]
    rows: dict[str, int]
    """How many of each kind, by its title."""
    forgotten: str | None = None
    """If they were forgotten before: that, in words."""


class Forgotten(Value):
    """The result of forgetting a person. Nothing is sent to them, nor stored of them, from here on in any case."""

    phone: str
    person: str
    """The word that stands for them in the ledger."""
    already: bool
    """They were forgotten before."""
    erased: bool
    """Nothing is left of them in the ledger."""
    workflows_left: int = 0
    """Workflows of theirs that Temporal is still to delete."""
    campaigns_left: tuple[str, ...] = ()
    """Campaigns under way, whose histories in Temporal name them until they end."""


class Remembered(Value):
    """The result of taking it back."""

    phone: str
    changed: bool


async def known_of(drumbeat: Drumbeat, phone: str, *, default_region: str | None = None) -> Known:
    """What is stored of the person. ``phone``: in any format. Raises InvalidPhone."""
    async with (await drumbeat.pool()).acquire() as connection:
        phone = await find_phone(connection, phone, default_region)
        known = await find_tombstone(connection, phone)
        person = await find_person(connection, phone)
        rows = {
            table.title: len(await stored_rows(connection, name, person)) for name, table in TABLES.items()
        }
    return Known(
        phone=phone,
        phones=tuple(person.phones),
        rows={title: count for title, count in rows.items() if count},
        forgotten=None if known is None else known.words,
    )


async def forget_contact(
    drumbeat: Drumbeat, phone: str, *, default_region: str | None = None, patience: float = PATIENCE
) -> Forgotten:
    """Forgets the person with this phone, in any format. Doing it again goes on with what is left.

    Once it has begun, nothing is sent to them any more, and nothing stored of them. Waits at most ``patience`` seconds for
    a message that is on its way and for Temporal; what is left then, a worker does. Raises InvalidPhone, and Conflict if
    nothing was done, as an import runs.
    """
    pool = await drumbeat.pool()
    clock = asyncio.get_running_loop().time
    until = clock() + patience
    async with pool.acquire() as connection:
        phone = await find_phone(connection, phone, default_region)
        while True:
            try:
                begun = await erasing.begin(connection, phone, _ids_of)
                break
            except Locked:
                if clock() > until:
                    raise Conflict(
                        "nothing was done: an import is running, which may be about to store them; ask again when it is through"
                    ) from None
                await asyncio.sleep(LOOK_EVERY)
    while True:
        left = await erase_further(pool, drumbeat.temporal, begun.person)
        own = [one for erasure in left for one in erasure.workflows if not is_campaigns_own(one)]
        erased = all(erasure.erased for erasure in left)
        if (erased and not own) or clock() > until:
            break
        await asyncio.sleep(LOOK_EVERY)
    campaigns = {one.split(":")[1] for erasure in left for one in erasure.workflows if is_campaigns_own(one)}
    return Forgotten(
        phone=phone,
        person=begun.person,
        already=not begun.new,
        erased=erased,
        workflows_left=len(own) if erased else 0,
        campaigns_left=tuple(sorted(campaigns)) if erased else (),
    )


def _ids_of(workflow: Workflow) -> set[str]:
    """The IDs that it may have: of what began before private mode was switched on, the one with the phone."""
    match workflow.kind:
        case "sequence":
            return {sequence_workflow_id(workflow.name, workflow.phone, private=one) for one in (True, False)}
        case "campaign":
            return {
                campaign_lead_workflow_id(workflow.name, workflow.phone, private=one) for one in (True, False)
            }
        case "message":
            return {message_workflow_id(workflow.name)}
        case _:
            return {workflow.name}


async def remember(drumbeat: Drumbeat, phone: str, *, default_region: str | None = None) -> Remembered:
    """Lets a person who was forgotten be known again, as a stranger. Raises InvalidPhone, and NotFound if nobody with this
    phone was forgotten.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        phone = await find_phone(connection, phone, default_region)
        if await erasing.take_back(connection, phone) is None:
            raise NotFound(f"nobody with the phone {phone} was forgotten")
    return Remembered(phone=phone, changed=True)


async def export_contact(
    drumbeat: Drumbeat, phone: str, *, default_region: str | None = None
) -> PersonExport:
    """All that is known of the person with this phone, in any format. Raises InvalidPhone and NotFound."""
    pool = await drumbeat.pool()
    return await export_person(pool, await find_phone(pool, phone, default_region))
