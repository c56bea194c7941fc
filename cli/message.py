"""``message``: list messages with their reasons, and resolve those that are unconfirmed."""

from typing import Annotated
from uuid import UUID

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.console import Json, fail, run, show
from messaging.models import MessageStatus
from messaging.reports import MessageReport
from messaging.resolutions import Resolution
from operations import messages, reports
from operations.messages import Way

__all__ = ["app", "list_all"]

app = typer.Typer(help="Messages of the ledger: list them, resolve unconfirmed ones.", no_args_is_help=True)


@app.command("list")
def list_all(
    status: Annotated[
        list[MessageStatus] | None,
        typer.Option(help="Only these states; may be repeated. [default: failed, unconfirmed]"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List messages with their reasons: those that failed or are unconfirmed, or in other states.

    Example: messages --status queued --status processing
    """
    statuses = status or [MessageStatus.FAILED, MessageStatus.UNCONFIRMED]
    show(run(lambda connection: reports.messages(connection, statuses, limit)), as_json, _messages)


@app.command()
def resolve(
    message: Annotated[UUID, typer.Argument(metavar="ID", help="The message's ID, as 'messages' shows it.")],
    sent: Annotated[bool, typer.Option("--sent", help="It did arrive: count it as sent.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="It did not arrive: send it again.")] = False,
    as_json: Json = False,
) -> None:
    """Resolve a message of which nobody knew whether the gateway sent it.

    Without an option the gateway is asked, where it can be. Nothing is ever sent again without --resend.
    """
    if sent and resend:
        fail("give --sent or --resend, not both", 2)
    way: Way = "sent" if sent else "resend" if resend else "look-up"
    show(run(lambda connection: messages.resolve(connection, message, way)), as_json, _resolved)


def _resolved(done: Resolution) -> RenderableType:
    words = {
        "sent": "counts as sent now",
        "sending again": "is sent again",
        "expired": "is not sent again, for its time is over: it counts as expired now",
        "still unconfirmed": "the gateway does not know it: if it did not arrive, say --resend",
    }
    return Text(f"{done.what} to {done.phone}: {words[done.result]}")


def _messages(found: list[MessageReport]) -> RenderableType:
    if not found:
        return Text("None.")
    lines = []
    for one in found:
        lines.append(
            f"{one.phone}  {one.what}  {one.status}  due {one.due_at:%d %b %H:%M:%S} UTC  by {one.device}"
        )
        # The ID is there to be copied, so nothing is cut off to make columns.
        lines.append(f"    {one.id}" + (f"  {one.reason}" if one.reason else ""))
    return Text("\n".join(lines))
