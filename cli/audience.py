"""``audience``: whom a campaign goes to, and who does not get it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import Column, Table, wrapped
from cli.values import read_count
from cli.waiting import bar_of_its_own
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from messaging.reporting.audience import AudienceReport
    from operations.connection import Drumbeat

__all__ = ["audience"]

_COLUMNS = ("phone", "name", "device", "zone", "gets", "why", "due_at", "status")


def audience(
    campaign: Annotated[
        str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.", autocompletion=names.campaigns)
    ],
    only: Annotated[
        str | None,
        typer.Option(
            help="List only: gets, left-out, changed (since the start), all, or a reason as the first column has it.",
            metavar="PART",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Leads on a page.", parser=read_count, metavar="COUNT")] = 20,
    page: Annotated[int, typer.Option(help="Which page.", parser=read_count, metavar="NUMBER")] = 1,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write the whole list as CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Show whom a campaign goes to, and who does not get it, by which condition. Nothing is changed.

    Before the start: as if it started now. After it: the audience that was frozen, and who changed since.

    Examples: audience black-friday    audience black-friday --only opted-out    audience black-friday --only gets --csv > leads.csv
    """
    if as_csv:
        if as_json:
            raise typer.BadParameter("give either --csv or --json")

        async def write(drumbeat: Drumbeat) -> None:
            from messaging.leads.csv_files import RowWriter
            from operations import reports

            writer = RowWriter(sys.stdout.buffer, "the output")
            try:
                with bar_of_its_own():
                    writer.write(_COLUMNS)
                    async for lead in reports.whole_audience(drumbeat, campaign, only=only):
                        plain = lead.model_dump(mode="json")
                        writer.write(["" if plain[name] is None else _word(plain[name]) for name in _COLUMNS])
            finally:
                writer.detach()

        run(write, temporal=False)
        return

    async def work(drumbeat: Drumbeat) -> AudienceReport:
        from operations import reports

        return await reports.audience(drumbeat, campaign, only=only, page=page, limit=limit)

    show(run(work, temporal=False), as_json, _format_audience)


def _word(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _format_audience(report: AudienceReport) -> str:
    from messaging.times.local_time import format_moment

    state = (
        f"audience of {format_moment(report.frozen_at)}, when it started"
        if report.frozen_at
        else f"as if it started now; it starts {report.when}"
    )
    lines = wrapped(f"{report.campaign} ({report.status}): {count_of(report.gets, 'lead')}, {state}")
    table = Table((Column("part"), Column("leads", right=True), Column("which", least=20, fold=True)))
    for group in sorted(report.groups, key=lambda one: not one.of_target):
        part = "gets" if group.gets and group.why is None else "changed" if group.gets else group.why or ""
        table.row(part.replace("_", "-"), f"{group.leads:,}", group.words)
    if report.groups:
        lines += ["", str(table)]
    if not report.listed:
        return "\n".join(lines)
    leads = Table(
        (
            Column("phone"),
            Column("name", least=6),
            Column("device", least=6, spare=True),
            Column("gets it", least=16, fold=True),
            Column("status", spare=True),
            Column("due (UTC)", spare=True),
        )
    )
    for lead in report.listed:
        why = (lead.why or "").replace("_", "-")
        leads.row(
            *(lead.phone, lead.name, lead.device),
            (f"yes; since: {why}" if why else "yes") if lead.gets else f"no: {why}",
            lead.status,
            format_moment(lead.due_at).removesuffix(" UTC") if lead.due_at else "",
        )
    last = report.first + len(report.listed) - 1
    lines += ["", str(leads), f"{report.first:,} to {last:,} of {count_of(report.total, 'lead')}"]
    if last < report.total:
        lines[-1] += "; --page for more, --csv for all"
    return "\n".join(lines)
