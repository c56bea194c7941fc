"""Operations on leads: import and export files, list, show and change them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from messaging.common.database import Connection
from messaging.common.errors import NotFound
from messaging.common.phones import parse_phone
from messaging.common.transactions import all_or_nothing
from messaging.common.values import Value
from messaging.events.record import say_more
from messaging.leads import store as leads
from messaging.leads.consent import stated
from messaging.leads.csv_columns import Chosen, parse_chosen
from messaging.leads.csv_export import ExportSummary, LeadCondition, export_file
from messaging.leads.csv_import import ImportOptions, ImportProgress, import_file
from messaging.leads.csv_notes import ImportNote, ImportSummary
from messaging.leads.edits import Edit, LeadEdited, edit_lead, edit_leads, parse_edits
from messaging.leads.known_phones import find_phone
from messaging.leads.lead import Lead
from messaging.leads.phone_changes import present_phone
from messaging.leads.store import StoredLead
from messaging.replies import renaming
from messaging.replies.numbers import ChangedNumber
from messaging.selection import leads as selected
from messaging.selection.fields import Arguments
from messaging.selection.leads import LeadPage, SelectedLeads
from messaging.selection.names import is_new_column, similar_column
from messaging.selection.nobody import why_no_lead
from messaging.selection.selection import Selection, selected_leads
from operations import signals
from operations.connection import Drumbeat
from operations.moves import follow_moved
from operations.opt_outs import carry_out

__all__ = [
    "Chosen",
    "ExportSummary",
    "ImportNote",
    "ImportOptions",
    "ImportProgress",
    "ImportSummary",
    "LeadPage",
    "LeadSet",
    "LeadsImported",
    "PhoneRenamed",
    "Selection",
    "StoredLead",
    "correct_time_zone",
    "explain_no_lead",
    "export_leads",
    "import_leads",
    "list_leads",
    "parse_chosen",
    "rename_phone",
    "set_lead",
    "set_leads",
    "show_lead",
    "state_consent",
]


EVERY_LEAD = Selection()


class LeadSet(LeadEdited):
    """The result of changing a lead; and for how many contacts a changed time zone has changed the next moment."""

    contacts_replanned: int = 0
    new_columns: dict[str, str | None] = Field(default_factory=dict)
    """Columns that no lead had before, as they may be misspelt: each with the column that was perhaps meant."""


class LeadsImported(ImportSummary):
    """The result of an import; and for how many contacts a corrected time zone has changed the next moment."""

    contacts_replanned: int = 0


async def import_leads(
    drumbeat: Drumbeat,
    path: Path,
    options: ImportOptions | None = None,
    *,
    progress: Callable[[ImportProgress], None] = lambda _: None,
) -> LeadsImported:
    """Imports a CSV file of leads, all of it or nothing; the same file again changes nothing.

    A corrected time zone also changes the times of active contacts. See :func:`messaging.leads.csv_import.import_file`.
    Raises NotFound for an unknown device, InvalidInput for a file that cannot be used, and Unavailable.
    """
    summary = await import_file(await drumbeat.pool(), path, options, progress=progress)
    if summary.moved is not None and not summary.dry_run:
        await follow_moved(drumbeat, summary.moved)
    changed = 0 if summary.dry_run else (await signals.zones_corrected(drumbeat)).changed
    return LeadsImported(**summary.model_dump(), contacts_replanned=changed)


async def correct_time_zone(drumbeat: Drumbeat, phone: str, time_zone: str) -> int:
    """Stores a lead's time zone; answers for how many active contacts this changes the next moment. ``phone`` is E.164.

    Raises InvalidInput for an unknown zone, and Unavailable.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        await leads.upsert_lead(connection, Lead(phone=phone, time_zone=time_zone))
    return (await signals.zones_corrected(drumbeat)).changed


async def state_consent(drumbeat: Drumbeat, phone: str, consent: str) -> None:
    """Stores how a lead has agreed to be written to. ``phone`` is E.164. Raises InvalidInput, and Unavailable."""
    async with (await drumbeat.pool()).acquire() as connection:
        await leads.upsert_lead(connection, Lead(phone=phone, consent=stated(consent)))


async def export_leads(
    drumbeat: Drumbeat,
    target: Path | BinaryIO,
    selection: Selection = EVERY_LEAD,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportSummary:
    """Writes the leads, all or those of a selection, to a CSV file (or a stream) that imports back to the same leads.

    See :func:`messaging.leads.csv_export.export_file`. Raises InvalidInput if the file cannot be written or the filter
    is not understood, and NotFound for names in the selection.
    """
    pool, arguments = await drumbeat.pool(), Arguments()
    async with pool.acquire() as connection:
        condition = await selected_leads(connection, selection, arguments)
    return await export_file(
        pool, target, condition=LeadCondition(condition, tuple(arguments.values)), progress=progress
    )


async def list_leads(
    drumbeat: Drumbeat,
    selection: Selection = EVERY_LEAD,
    *,
    sort: str = "created",
    page: int = 1,
    limit: int = 50,
) -> LeadPage:
    """One page of the selected leads, with their state. See :func:`messaging.selection.leads.list_leads`.

    Raises InvalidInput, for a filter with the column of the mistake, and NotFound for names in the selection.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        return await selected.list_leads(connection, selection, sort=sort, page=page, limit=limit)


async def explain_no_lead(drumbeat: Drumbeat, selection: Selection) -> str:
    """Why no lead is selected: there is none, or the filter has a value that no lead has, which is probably misspelt."""
    async with (await drumbeat.pool()).acquire() as connection:
        try:
            return await why_no_lead(connection, selection.where)
        except NotFound as found:
            return str(found)


async def set_lead(
    drumbeat: Drumbeat, phone: str, changes: Sequence[str], *, default_region: str | None = None
) -> LeadSet:
    """Changes columns of a lead: ``name=Aisha``, ``city=``, ``niche+=VITAC``. See messaging.leads.edits.

    A changed time zone also changes the times of its active contacts. Raises InvalidPhone, InvalidInput and NotFound;
    nothing is changed then.
    """
    edits = parse_edits(changes)
    async with (await drumbeat.pool()).acquire() as connection:
        number = await find_phone(connection, phone, default_region)
        new = await _new_columns(connection, edits)
        done = await edit_lead(connection, await present_phone(connection, number), edits)
    zone_changed = "time_zone" in done.after
    replanned = (await signals.zones_corrected(drumbeat)).changed if zone_changed else 0
    return LeadSet(**done.model_dump(), contacts_replanned=replanned, new_columns=new)


class LeadsSet(Value):
    """The result of a change of many leads."""

    selected: int
    changed: int
    """Those of them that were not so before."""
    contacts_replanned: int
    new_columns: dict[str, str | None]
    """As LeadSet has it."""


async def find_leads_to_set(
    drumbeat: Drumbeat, selection: Selection, changes: Sequence[str]
) -> SelectedLeads:
    """The leads that a change of many is for: how many, and some of them. Raises as set_leads does."""
    parse_edits(changes)
    async with (await drumbeat.pool()).acquire() as connection:
        return await selected.find_leads(connection, selection, _any_lead)


async def set_leads(drumbeat: Drumbeat, selection: Selection, changes: Sequence[str]) -> LeadsSet:
    """Changes columns of all leads of a selection, in one transaction: all of them or none. See :func:`set_lead`.

    Raises InvalidInput, for a filter with the column of the mistake, and NotFound for names in the selection.
    """
    edits = parse_edits(changes)

    async def change() -> list[LeadEdited]:
        phones = await selected.selected_phones(connection, selection, _any_lead)
        await say_more(connection, chosen=selection.words)
        return await edit_leads(connection, phones, edits)

    async with (await drumbeat.pool()).acquire() as connection:
        new = await _new_columns(connection, edits)
        done = await all_or_nothing(connection, change)
    zones_changed = any("time_zone" in one.after for one in done)
    return LeadsSet(
        selected=len(done),
        changed=sum(bool(one.after) for one in done),
        contacts_replanned=(await signals.zones_corrected(drumbeat)).changed if zones_changed else 0,
        new_columns=new,
    )


def _any_lead(_arguments: Arguments) -> str:
    return "true"


async def _new_columns(connection: Connection, edits: Sequence[Edit]) -> dict[str, str | None]:
    """The columns that no lead has had, with the one that was perhaps meant."""
    return {
        edit.column: await similar_column(connection, edit.column)
        for edit in edits
        if edit.attribute and edit.value and await is_new_column(connection, edit.column)
    }


async def show_lead(drumbeat: Drumbeat, phone: str, *, default_region: str | None = None) -> StoredLead:
    """The lead with this phone, in any format. Raises InvalidPhone, and NotFound if no lead has it."""
    async with (await drumbeat.pool()).acquire() as connection:
        e164 = await find_phone(connection, phone, default_region)
        lead = await leads.load_lead(connection, await present_phone(connection, e164))
    if lead is None:
        raise NotFound(f"there is no lead with the phone {e164}")
    return lead


class PhoneRenamed(ChangedNumber):
    """What was moved to the new phone. ``opted_out``: True if it gets nothing more, as one of the two had opted out."""

    opted_out: bool = False


async def rename_phone(
    drumbeat: Drumbeat, old: str, new: str, *, default_region: str | None = None
) -> PhoneRenamed:
    """Gives the lead with the phone ``old`` the phone ``new``, with all that belongs to it. No step is sent twice.

    Repeating it changes nothing. Raises InvalidPhone, InvalidInput, NotFound and Unavailable.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        phones = await find_phone(connection, old, default_region), parse_phone(new, default_region)
        changed, stopped = await renaming.rename_phone(connection, *phones)
    for phone, workflows in stopped:
        await carry_out(drumbeat, phone, workflows)
    await signals.contacts_changed(drumbeat)
    return PhoneRenamed(**changed.model_dump(), opted_out=bool(stopped))
