"""``contact`` and ``why``: what is known of one phone, and why it did not get its messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.contact_page import contact_page
from cli.page import wrapped

if TYPE_CHECKING:
    from messaging.reporting.contact import ContactReport
    from messaging.reporting.why.report import WhyReport
    from operations.connection import Drumbeat

__all__ = ["contact", "why"]

Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]


def contact(
    phone: Annotated[str, typer.Argument(help="The phone, in any format.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Show everything about one phone: enrollments, the next step, every message.

    Example: contact +12015550123
    """

    async def work(drumbeat: Drumbeat) -> ContactReport:
        from operations import reports

        return await reports.contact(drumbeat, phone, default_region=default_region)

    show(run(work, temporal=False), as_json, contact_page)


def why(
    phone: Annotated[str, typer.Argument(help="The phone, in any format.")],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SEQUENCE|CAMPAIGN",
            help="Only this sequence or campaign.",
            autocompletion=names.sequences_and_campaigns,
        ),
    ] = None,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Say why a phone did not get its messages, in the order of cause: from the import to what the gateway reports.

    Example: why +12015550123 black-friday
    """

    async def work(drumbeat: Drumbeat) -> WhyReport:
        from operations import reports

        return await reports.why(drumbeat, phone, name, default_region=default_region)

    show(run(work, temporal=False), as_json, _format_why)


_TIME = re.compile(r"\d-\d\d \d\d:\d\d:\d\d")


def _format_why(report: WhyReport) -> str:
    told = [*report.sentences, *(sentence for one in report.subjects for sentence in one.sentences)]
    lines = [f"Times are those of {report.zone}."] if any(map(_TIME.search, told)) else []
    lines += [line for sentence in report.sentences for line in wrapped(sentence)]
    for subject in report.subjects:
        lines += [*([""] if lines else []), f"{subject.what}:"]
        lines += [line for sentence in subject.sentences for line in wrapped(sentence, "  ")]
    return "\n".join(lines)
