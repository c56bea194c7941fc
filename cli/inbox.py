"""``inbox``: inbound messages that an operator should look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli.console import Json, run, show
from cli.page import one_line, wrapped
from cli.values import read_count
from messaging.common.suggestions import did_you_mean

if TYPE_CHECKING:
    from messaging.replies.inbox import InboundReport, ReviewReason
    from operations.connection import Drumbeat

__all__ = ["app", "format_inbound"]

app = typer.Typer(help="Replies that a person should read.")

REASONS = {
    "answer": "an answer",
    "maybe_stop": "may mean stop",
    "number_changed": "has another number now",
    "unmatched": "no lead",
}
ORDINARY_WORD = "opted out by an ordinary word"


def _read_reason(text: str) -> str:
    if text not in REASONS:
        raise typer.BadParameter(f"{text!r} is no reason: {did_you_mean(text, list(REASONS))}")
    return text


@app.callback(invoke_without_command=True)
def list_inbox(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only these; may be repeated: {', '.join(REASONS)}.", parser=_read_reason, metavar="REASON"
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Only replies to this device.")] = None,
    limit: Annotated[
        int, typer.Option(help="How many, the latest first.", parser=read_count, metavar="NUMBER")
    ] = 100,
    as_json: Json = False,
) -> None:
    """List the replies that a person should read, the newest first: answers, possible stops, senders that are no leads.

    A reply of STOP, or another keyword, opts its sender out automatically. It is listed only if it is an ordinary word
    too.

    Example: inbox --only maybe_stop    inbox done 17
    """
    if context.invoked_subcommand is not None:
        return
    if limit < 1:
        raise typer.BadParameter("--limit is the number of messages to show: 1 or more")
    reasons = cast("tuple[ReviewReason, ...]", tuple(only or ()))

    async def work(drumbeat: Drumbeat) -> list[InboundReport]:
        from operations import inboxes

        return await inboxes.list_inbox(drumbeat, reasons, device=device, limit=limit)

    show(run(work, temporal=False), as_json, _format_inbox)


@app.command()
def done(
    identifier: Annotated[
        int, typer.Argument(metavar="ID", help="The message's ID, as 'inbox' shows it.", parser=read_count)
    ],
    as_json: Json = False,
) -> None:
    """Take a message that was dealt with out of the inbox. Doing it twice is harmless."""

    async def work(drumbeat: Drumbeat) -> InboundReport:
        from operations import inboxes

        return await inboxes.done(drumbeat, identifier)

    show(run(work, temporal=False), as_json, lambda one: f"{one.id} is done: {format_inbound(one)}")


def format_inbound(one: InboundReport) -> str:
    """A message in one line: its text, and its kind if it is more than a text."""
    words = one_line(one.text or one.payload or "")
    if one.kind == "text":
        return words
    kind = one.kind.replace("_", " ")
    return f"({kind}) {words}" if words else f"({kind})"


def _format_inbox(found: list[InboundReport]) -> str:
    if not found:
        return "Nothing to look at."
    lines = ["Times are UTC. 'inbox done ID' takes one out."]
    for one in found:
        who = one.phone or ", ".join(one.identities) or "unknown"
        name = f" ({one_line(one.name)})" if one.name else ""
        doubtful = (one.meaning, one.to_review) == ("stop", "maybe_stop")
        reason = ORDINARY_WORD if doubtful else REASONS[one.to_review or "answer"]
        lines.append(f"{one.id}  {one.sent_at:%d %b %H:%M:%S}  {who}{name}  to {one.device}  {reason}")
        if one.answers:
            lines += wrapped(f"in answer to {one.answers}", "    ")
        lines += wrapped(format_inbound(one), "    ")
    return "\n".join(lines)
