"""``report``: what came of a campaign, a sequence, a device or a week."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, say, show
from messaging.common.errors import InvalidInput

if TYPE_CHECKING:
    from messaging.reporting.report.model import Report
    from operations.connection import Drumbeat

__all__ = ["app"]

app = typer.Typer(
    help="Reports: what was due, sent, delivered, read and answered; as text, CSV, JSON, or a page with plots.",
    no_args_is_help=True,
)

Csv = Annotated[bool, typer.Option("--csv", help="Print the figures as rows, for a spreadsheet.")]
Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Write a page with plots to FILE; '-' for standard output."),
]
Zone = Annotated[
    str | None,
    typer.Option("--time-zone", metavar="ZONE", help="Of hours and days, e.g. Asia/Kuala_Lumpur."),
]
Week = Annotated[
    str | None,
    typer.Option("--week", metavar="WEEK", help="Only one week: 2026-W48, a date in it, 'this' or 'last'."),
]


@app.command()
def campaign(
    campaign: Annotated[
        str, typer.Argument(metavar="NAME", help="The campaign's name.", autocompletion=names.campaigns)
    ],
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="OTHER", help="Another one, to compare it with.", autocompletion=names.campaigns
        ),
    ] = None,
    time_zone: Zone = None,
    as_csv: Csv = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What came of a campaign; or of two, side by side.

    Its own time zone is used where you name none; if that is the recipient's, the zone of the device that sends most of it.
    """
    if other == campaign:
        raise typer.BadParameter("OTHER is the same campaign: name another one to compare it with")

    async def work(drumbeat: Drumbeat) -> list[Report]:
        from operations import reports

        return [
            await reports.report_campaign(drumbeat, name, time_zone=time_zone)
            for name in (campaign, other)
            if name is not None
        ]

    _write(work, as_csv, html, as_json)


@app.command()
def sequence(
    sequence: Annotated[
        str, typer.Argument(metavar="NAME", help="The sequence's name.", autocompletion=names.sequences)
    ],
    week: Week = None,
    time_zone: Zone = None,
    as_csv: Csv = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What came of a sequence, step by step: from the beginning, or in one week."""

    async def work(drumbeat: Drumbeat) -> list[Report]:
        from operations import reports

        return [await reports.report_sequence(drumbeat, sequence, week=week, time_zone=time_zone)]

    _write(work, as_csv, html, as_json)


@app.command()
def device(
    device: Annotated[
        str, typer.Argument(metavar="ID", help="The device's ID.", autocompletion=names.devices)
    ],
    week: Week = None,
    time_zone: Zone = None,
    as_csv: Csv = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What came of the messages of a device: from the beginning, or in one week."""

    async def work(drumbeat: Drumbeat) -> list[Report]:
        from operations import reports

        return [await reports.report_device(drumbeat, device, week=week, time_zone=time_zone)]

    _write(work, as_csv, html, as_json)


@app.command()
def week(
    week: Annotated[
        str | None,
        typer.Option(
            "--week", metavar="WEEK", help="2026-W48, a date in it, or 'last'. Default: the present one."
        ),
    ] = None,
    time_zone: Zone = None,
    as_csv: Csv = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What came of everything that was sent in a week, or was due in it and not sent. Weeks begin on Monday."""

    async def work(drumbeat: Drumbeat) -> list[Report]:
        from operations import reports

        return [await reports.report_week(drumbeat, week, time_zone=time_zone)]

    _write(work, as_csv, html, as_json)


def _write(
    work: Callable[[Drumbeat], Awaitable[list[Report]]], as_csv: bool, html: str | None, as_json: bool
) -> None:
    """Makes the reports and writes them in the form that was asked for."""
    if as_csv + as_json + (html is not None) > 1:
        raise typer.BadParameter("--csv, --json and --html are different forms of the report: choose one")

    def check() -> None:
        if html is not None:
            from messaging.reporting.report.canvas import require_plots

            require_plots()
            if html != "-" and not Path(html).parent.is_dir():
                raise InvalidInput(f"{html} cannot be written: there is no folder {Path(html).parent}")

    async def made(drumbeat: Drumbeat) -> list[Report]:
        reports = await work(drumbeat)
        if html is not None:
            from messaging.reporting.report.html import write_html

            write_html(reports, sys.stdout.buffer if html == "-" else Path(html))
        elif as_csv:
            from messaging.reporting.report.rows import write_csv

            write_csv(reports, sys.stdout.buffer)
        return reports

    reports = run(made, check=check, temporal=False)
    if html is not None:
        if html != "-":
            say(f"Wrote {html}")
    elif not as_csv:
        _show(reports, as_json)


def _show(reports: Sequence[Report], as_json: bool) -> None:
    from cli.report_page import report_page

    if as_json and len(reports) == 1:
        show(reports[0], True, lambda one: report_page([one]))
    else:
        show(reports, as_json, report_page)
