"""``lead list``, ``lead set`` and ``lead move``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import Column, Table, one_line
from cli.selection import (
    Campaign,
    Device,
    DryRun,
    InSequence,
    Where,
    Yes,
    change_many,
    require_phone_or_many,
    selection_of,
)
from cli.values import read_count
from cli.waiting import bar_of_its_own
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from rich.progress import Progress

    from messaging.leads.device_moves import Moved
    from messaging.selection.leads import LeadPage, ListedLead, SelectedLeads
    from operations.connection import Drumbeat
    from operations.leads import LeadSet, LeadsSet

__all__ = ["list_", "move", "set_"]

Region = Annotated[
    str | None,
    typer.Option(
        "--default-region", help="Country of a phone without a country code, e.g. MY.", metavar="CC"
    ),
]


def list_(
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    sort: Annotated[
        str,
        typer.Option(
            help="Sort by created, updated, phone, name, target_status, device, time_zone, consent, replied, opted_out, or a"
            " column of imported files; with - in front, the largest first.",
            metavar="FIELD",
        ),
    ] = "created",
    limit: Annotated[int, typer.Option(help="Leads on a page.", parser=read_count, metavar="COUNT")] = 50,
    page: Annotated[int, typer.Option(help="Which page.", parser=read_count, metavar="NUMBER")] = 1,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write all of them as CSV, which 'lead import' reads.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List leads: all, or those that match.

    Examples: lead list --where 'city = KL and not replied' --sort -created    lead list --sequence intro --csv > intro.csv
    """
    selection = selection_of(where, in_sequence, campaign, device)
    if as_csv:
        if as_json:
            raise typer.BadParameter("give either --csv or --json")

        async def write(drumbeat: Drumbeat) -> None:
            from operations import leads

            with bar_of_its_own():
                await leads.export_leads(drumbeat, sys.stdout.buffer, selection)

        run(write, temporal=False)
        return

    why_none = "no lead matches"

    async def work(drumbeat: Drumbeat) -> LeadPage:
        from operations import leads

        nonlocal why_none
        found = await leads.list_leads(drumbeat, selection, sort=sort, page=page, limit=limit)
        if not found.total and not as_json:
            why_none = await leads.explain_no_lead(drumbeat, selection)
        return found

    show(run(work, temporal=False), as_json, lambda found: _format_page(found) if found.total else why_none)


def set_(
    words: Annotated[
        list[str],
        typer.Argument(
            help="The lead's phone, in any format, but not with --where. Then name=…, status=prospect, time_zone=…, niche+=WORD,"
            " niche-=WORD, trigger+=WORD, tag+=WORD, consent=no, or any column of your files. Nothing behind the = empties it.",
            metavar="[PHONE] COLUMN=VALUE",
        ),
    ],
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Change columns of one lead, or of many, all of them or none.

    Examples: lead set +12015550123 city=Ipoh 'name=Aisha Rahman' niche-=SKIN    lead set --where 'city = KL' tag+=VIP
    """
    selection = selection_of(where, in_sequence, campaign, device)
    if selection.everything:
        _set_one(words[0], words[1:], default_region, yes=yes, dry_run=dry_run, as_json=as_json)
        return

    async def find(drumbeat: Drumbeat) -> SelectedLeads:
        from operations import leads

        return await leads.find_leads_to_set(drumbeat, selection, words)

    async def change(drumbeat: Drumbeat, progress: Progress) -> LeadsSet:
        from operations import leads

        del progress  # one transaction
        return await leads.set_leads(drumbeat, selection, words)

    change_many(
        find,
        change,
        command="lead set",
        selection=selection,
        question=f"set {' '.join(words)} for {{}}:",
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        render=_format_set_many,
    )


def _set_one(
    phone: str, changes: list[str], region: str | None, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    if not changes:
        raise typer.BadParameter("give PHONE and COLUMN=VALUE; or for many leads --where and COLUMN=VALUE")
    if yes or dry_run:
        raise typer.BadParameter("--yes and --dry-run are for many leads: give --where")

    async def work(drumbeat: Drumbeat) -> LeadSet:
        from operations import leads

        return await leads.set_lead(drumbeat, phone, changes, default_region=region)

    show(run(work), as_json, _format_set)


def move(
    to: Annotated[
        str,
        typer.Option(
            help="The device that is to write to them from now on.",
            metavar="DEVICE",
            autocompletion=names.devices,
        ),
    ],
    phone: Annotated[str | None, typer.Argument(help="The lead's phone, in any format.")] = None,
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Move one lead, or many, to another device, with all their unsent messages. Nothing is sent twice.

    Examples: lead move +12015550123 --to kl-2    lead move --where 'city = Ipoh' --to kl-2    lead move --device kl-1 --to kl-2
    """
    selection = selection_of(where, in_sequence, campaign, device)
    require_phone_or_many(phone, selection, yes=yes, dry_run=dry_run)
    if phone is not None:

        async def one(drumbeat: Drumbeat) -> Moved:
            from operations import leads, moves

            lead = await leads.show_lead(drumbeat, phone, default_region=default_region)
            return await moves.move_lead(drumbeat, lead.phone, to)

        show(run(one), as_json, _format_moved)
        return

    async def find(drumbeat: Drumbeat) -> SelectedLeads:
        from operations import moves

        return await moves.find_leads_to_move(drumbeat, selection, to)

    async def do(drumbeat: Drumbeat, _progress: Progress) -> Moved:
        from operations import moves

        return await moves.move_leads(drumbeat, selection, to)

    change_many(
        find,
        do,
        command="lead move",
        selection=selection,
        question=f"move {{}} to device {to}:",
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        render=_format_moved,
    )


def _format_page(page: LeadPage) -> str:
    if not page.leads:
        return f"no lead on this page; there are {page.total:,}"
    tagged = any("tags" in lead.attributes for lead in page.leads)
    table = Table(
        [
            Column("PHONE"),
            Column("NAME", least=8),
            Column("NICHES", least=10, spare=True, fold=True),
            *([Column("TAGS", least=10, spare=True, fold=True)] if tagged else []),
            Column("STATUS", spare=True),
            Column("DEVICE", least=6, spare=True),
            Column("STATE", least=16, fold=True),
        ]
    )
    for lead in page.leads:
        table.row(
            lead.phone,
            lead.name,
            ", ".join(lead.niches),
            *([lead.attributes.get("tags", "")] if tagged else []),
            lead.target_status,
            lead.device_id,
            _state(lead),
        )
    last = page.first + len(page.leads) - 1
    lines = [str(table), f"{page.first:,} to {last:,} of {count_of(page.total, 'lead')}"]
    if last < page.total:
        lines[-1] += "; --page for more, --csv for all"
    return "\n".join(lines)


def _state(lead: ListedLead) -> str:
    """What a list says of a lead, the most important first."""
    words = ["opted out"] if lead.opted_out_at is not None else []
    words += [f"{one.sequence} {one.state.replace('_', ' ')}" for one in lead.contacts]
    if lead.replied_at is not None:
        words.append("replied")
    return ", ".join(words)


def _format_set_many(done: LeadsSet) -> str:
    lines = [f"{count_of(done.changed, 'lead')} changed"]
    if done.selected > done.changed:
        lines[0] += f"; {done.selected - done.changed:,} had nothing to change"
    return "\n".join([*lines, *_consequences(done)])


def _format_set(done: LeadSet) -> str:
    lines = [
        f"{done.phone}: {column}: {one_line(done.before[column]) or '(empty)'} → {one_line(value) or '(empty)'}"
        for column, value in done.after.items()
    ]
    if not lines:
        lines = [f"{done.phone}: nothing had to change"]
    return "\n".join([*lines, *_consequences(done)])


def _consequences(done: LeadSet | LeadsSet) -> list[str]:
    """What else there is to say of a change."""
    lines = []
    for column, meant in done.new_columns.items():
        lines.append(
            f"no lead had a column {column!r} before" + (f": did you mean {meant!r}?" if meant else "")
        )
    if done.contacts_replanned:
        lines.append(
            count_of(done.contacts_replanned, "contact under way has", "contacts under way have")
            + " another moment next by the new time zone"
        )
    return lines


def _format_moved(moved: Moved) -> str:
    line = (
        f"moved {count_of(moved.leads, 'lead')}, {count_of(moved.contacts, 'contact')} under way,"
        f" {count_of(moved.messages, 'waiting message')}"
    )
    if moved.in_flight:
        line += f"; {count_of(moved.in_flight, 'message is', 'messages are')} being sent by the old device, and settled there"
    return line
