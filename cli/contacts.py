"""One person: ``contact``, and ``pause``, ``resume``, ``stop``, ``skip`` for a contact in a sequence."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.console import Json, run, show
from messaging.identity import parse_phone
from messaging.reports import ContactReport
from messaging.under_way import under_way_in_words
from operations import enrollment, reports
from operations.connection import Connection
from operations.enrollment import Steered

__all__ = ["contact", "pause", "resume", "skip", "stop"]

Sequence = Annotated[str, typer.Argument(help="The sequence's name.")]
Phone = Annotated[str, typer.Argument(help="The person's phone, in any format.")]
Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def contact(phone: Phone, default_region: Region = None, as_json: Json = False) -> None:
    """Show everything about one person: enrollments, the next step, every message.

    Example: contact +12015550123
    """

    async def work(connection: Connection) -> ContactReport:
        return await reports.contact(connection, parse_phone(phone, default_region))

    show(run(work), as_json, _report)


def pause(
    sequence: Sequence,
    phone: Phone,
    reason: Reason = "",
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Pause one contact in one sequence."""
    _steer(
        lambda connection, number: enrollment.pause_contact(connection, sequence, number, reason),
        phone,
        default_region,
        as_json,
    )


def resume(sequence: Sequence, phone: Phone, default_region: Region = None, as_json: Json = False) -> None:
    """Go on with a paused contact, without a burst."""
    _steer(
        lambda connection, number: enrollment.resume_contact(connection, sequence, number),
        phone,
        default_region,
        as_json,
    )


def stop(
    sequence: Sequence,
    phone: Phone,
    reason: Reason = "",
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """End one contact's enrollment for good; what was not sent is cancelled."""
    _steer(
        lambda connection, number: enrollment.stop_contact(connection, sequence, number, reason),
        phone,
        default_region,
        as_json,
    )


def skip(
    sequence: Sequence,
    phone: Phone,
    step: Annotated[str, typer.Argument(help="The ID of the step that comes next.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Leave out the step that comes next."""
    _steer(
        lambda connection, number: enrollment.skip_step(connection, sequence, number, step),
        phone,
        default_region,
        as_json,
    )


def _steer(
    ask: Callable[[Connection, str], Awaitable[Steered]], phone: str, region: str | None, as_json: bool
) -> None:
    async def work(connection: Connection) -> Steered:
        return await ask(connection, parse_phone(phone, region))

    show(run(work), as_json, _steered)


def _steered(done: Steered) -> Text:
    return Text(f"{done.phone} in {done.sequence}: {done.result}{under_way_in_words(done.under_way)}")


def _report(report: ContactReport) -> RenderableType:
    facts = [
        f"{report.name or 'No name'}  {report.phone}  {report.target_status}"
        + (f"  opted out {report.opted_out_at:%d %b %Y}" if report.opted_out_at else ""),
        (
            f"Niches: {', '.join(report.niches) or 'none'}. Triggers: {', '.join(report.triggers) or 'none'}."
            f" Device: {report.device or 'none'}. Time zone: {report.time_zone or 'as the sequence'}."
        ),
    ]
    enrollments = Table("sequence", "status", "enrolled", "next step", "due", "why", box=None)
    for one in report.enrollments:
        enrollments.add_row(
            one.sequence,
            one.status,
            _moment(one.enrolled_at, one.zone),
            one.next_step or "",
            _moment(one.due_at, one.zone),
            one.reason or "",
        )
    messages = Table("message", "status", "due", "sent", "device", "text or reason", box=None)
    for message in report.messages:
        messages.add_row(
            *(
                message.what,
                message.status,
                _moment(message.due_at),
                _moment(message.sent_at),
                message.device,
            ),
            Text((message.reason or message.text or "").replace("\n", " ")[:60]),
        )
    parts: list[RenderableType] = [Text(line) for line in facts]
    if report.enrollments:
        parts += [Text(""), enrollments]
    if report.messages:
        parts += [Text(""), messages]
    return Group(*parts)


def _moment(moment: datetime | None, zone: str = "UTC") -> str:
    return "" if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%d %b %H:%M:%S} {zone}"
