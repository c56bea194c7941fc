"""``message``: list messages with their reasons, and resolve those that are unconfirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, run, show
from cli.names import among
from cli.page import one_line, wrapped
from cli.values import read_count, read_status
from messaging.sending.message_status import MessageStatus
from runtime.process import fail

if TYPE_CHECKING:
    from messaging.reporting.messages import MessageReport
    from messaging.sending.resolutions import Resolution
    from operations.connection import Drumbeat
    from operations.messages import Way

__all__ = ["app", "list_messages"]

app = typer.Typer(help="Messages of the ledger: list them, resolve unconfirmed ones.", no_args_is_help=True)


@app.command("list")
def list_messages(
    status: Annotated[
        list[MessageStatus] | None,
        typer.Option(
            help="Only these statuses; may be repeated. By default: failed and unconfirmed; of a campaign or sequence, all.",
            parser=read_status,
            autocompletion=among(status.value for status in MessageStatus),
            metavar="STATE",
        ),
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Only messages of this campaign.", metavar="NAME")
    ] = None,
    sequence: Annotated[
        str | None, typer.Option(help="Only messages of this sequence.", metavar="NAME")
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            help="How many: the latest first, by when they were sent or last changed.",
            parser=read_count,
            metavar="NUMBER",
        ),
    ] = 100,
    as_json: Json = False,
) -> None:
    """List messages with their reasons: those that failed or are unconfirmed, or have other statuses.

    Examples: messages --status queued --status processing    messages --campaign black-friday --status expired
    """
    if limit < 1:
        raise typer.BadParameter("--limit is the number of messages to show: 1 or more")
    if campaign is not None and sequence is not None:
        raise typer.BadParameter("give --campaign or --sequence, not both")
    of_one = campaign is not None or sequence is not None
    statuses = status or (
        list(MessageStatus) if of_one else [MessageStatus.FAILED, MessageStatus.UNCONFIRMED]
    )

    async def work(drumbeat: Drumbeat) -> list[MessageReport]:
        from operations import reports

        return await reports.list_messages(drumbeat, statuses, limit, campaign=campaign, sequence=sequence)

    show(run(work, temporal=False), as_json, _format_messages)


@app.command()
def resolve(
    message: Annotated[str, typer.Argument(metavar="ID", help="The message's ID, as 'messages' shows it.")],
    sent: Annotated[bool, typer.Option("--sent", help="It did arrive: count it as sent.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="It did not arrive: send it again.")] = False,
    as_json: Json = False,
) -> None:
    """Resolve an unconfirmed message: the gateway may have sent it, but did not say so.

    Without an option, the gateway is asked, if it can be. Nothing is ever sent again without --resend.
    """
    if sent and resend:
        fail("give --sent or --resend, not both", 2)
    way: Way = "sent" if sent else "resend" if resend else "look-up"

    async def work(drumbeat: Drumbeat) -> Resolution:
        from operations import messages

        return await messages.resolve(drumbeat, message, way)

    show(run(work, works=lambda done: done.result == "sending again"), as_json, _format_resolved)


def _format_resolved(done: Resolution) -> str:
    words = {
        "sent": "counts as sent",
        "sending again": "is sent again",
        "expired": "is not sent again, for its time is over: it counts as expired now",
        "still unconfirmed": "the gateway does not know it: if it did not arrive, say --resend",
    }
    return f"{done.what} to {done.phone}: {words[done.result]}{' already: nothing was changed' if done.already else ''}"


def _next_steps(found: list[MessageReport]) -> list[str]:
    """What to do about those that failed or are unconfirmed."""
    said = []
    if any(one.status == "unconfirmed" for one in found):
        said.append(
            "Unconfirmed: 'message resolve ID' asks the gateway; or ask the recipient, and add --sent (it arrived) or --resend"
            " (it did not)."
        )
    failed = [one.what for one in found if one.status == "failed"]
    campaigns = {what.removeprefix("campaign ") for what in failed if what.startswith("campaign ")}
    said += [
        f"Failed: 'campaign retry-failed {name}' sends the failed ones of the campaign again."
        for name in sorted(campaigns)
    ]
    if any(" / " in what for what in failed):
        said.append(
            "Failed in a sequence: 'why PHONE' says what came before and comes next; none is sent again."
        )
    return said


def _format_messages(found: list[MessageReport]) -> str:
    if not found:
        return "None."
    from messaging.times.local_time import format_wall

    lines = ["Times are UTC."]
    for one in found:
        # The ID must be easy to copy, so nothing is cut off to make columns.
        when = f"due {format_wall(one.due_at)}" if one.sent_at is None else format_wall(one.sent_at)
        lines.append(f"{one.phone}  {one.what}  {one.status} {when}  by {one.device}")
        lines.append(
            f"    {one.id}" + (f"  {one_line(one.text)[:40]}" if one.text and not one.reason else "")
        )
        if one.reason:
            lines += wrapped(one.reason, "    ")
    lines += [line for words in _next_steps(found) for line in wrapped(words)]
    return "\n".join(lines)
