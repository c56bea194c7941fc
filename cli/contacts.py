"""The command ``contact``; and ``pause``, ``resume``, ``stop``, ``skip`` for a contact in a sequence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, run, show
from cli.contact_page import contact_page
from cli.page import wrapped

if TYPE_CHECKING:
    from messaging.reporting.contact import ContactReport
    from messaging.reporting.why.report import WhyReport
    from operations.connection import Drumbeat
    from operations.contacts import ContactCommandResult

__all__ = ["contact", "pause", "resume", "skip", "stop", "why"]

Sequence = Annotated[str, typer.Argument(help="The sequence's name.")]
Phone = Annotated[str, typer.Argument(help="The phone, in any format.")]
Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def contact(phone: Phone, default_region: Region = None, as_json: Json = False) -> None:
    """Show everything about one phone: enrollments, the next step, every message.

    Example: contact +12015550123
    """

    async def work(drumbeat: Drumbeat) -> ContactReport:
        from operations import reports

        return await reports.contact(drumbeat, phone, default_region=default_region)

    show(run(work, temporal=False), as_json, contact_page)


def why(
    phone: Phone,
    name: Annotated[
        str | None, typer.Argument(metavar="[SEQUENCE|CAMPAIGN]", help="Only this sequence or campaign.")
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


def _format_why(report: WhyReport) -> str:
    lines = [line for sentence in report.sentences for line in wrapped(sentence)]
    for subject in report.subjects:
        lines += [*([""] if lines else []), f"{subject.what}:"]
        lines += [line for sentence in subject.sentences for line in wrapped(sentence, "  ")]
    return "\n".join(lines)


def pause(
    sequence: Sequence,
    phone: Phone,
    reason: Reason = "",
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Pause one contact in one sequence."""

    async def work(drumbeat: Drumbeat, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.pause(drumbeat, sequence, number, reason)

    _command(work, phone, default_region, as_json)


def resume(sequence: Sequence, phone: Phone, default_region: Region = None, as_json: Json = False) -> None:
    """Resume a paused contact, without a burst."""

    async def work(drumbeat: Drumbeat, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.resume(drumbeat, sequence, number)

    _command(work, phone, default_region, as_json, works=True)


def stop(
    sequence: Sequence,
    phone: Phone,
    reason: Reason = "",
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """End one contact's enrollment for good; what was not sent is cancelled."""

    async def work(drumbeat: Drumbeat, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.stop(drumbeat, sequence, number, reason)

    _command(work, phone, default_region, as_json)


def skip(
    sequence: Sequence,
    phone: Phone,
    step: Annotated[str, typer.Argument(help="The ID of the step that comes next.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Skip the next step."""

    async def work(drumbeat: Drumbeat, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.skip(drumbeat, sequence, number, step)

    _command(work, phone, default_region, as_json)


def _command(
    ask: Callable[[Drumbeat, str], Awaitable[ContactCommandResult]],
    phone: str,
    region: str | None,
    as_json: bool,
    *,
    works: bool = False,
) -> None:
    async def work(drumbeat: Drumbeat) -> ContactCommandResult:
        from messaging.common.phones import parse_phone

        return await ask(drumbeat, parse_phone(phone, region))

    show(run(work, works=lambda _: works), as_json, _format_result)


def _format_result(done: ContactCommandResult) -> str:
    from messaging.sending.under_way import format_under_way

    return f"{done.phone} in {done.sequence}: {done.result}{format_under_way(done.under_way)}"
