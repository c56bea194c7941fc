"""``inbox``: inbound messages that an operator should look at."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli import names
from cli.console import Json, run, say, show
from cli.inbound import REASONS, format_inbound, inbound_lines
from cli.page import wrapped
from cli.values import read_count, read_since
from messaging.common.counts import count_of
from messaging.common.suggestions import did_you_mean
from runtime.process import fail, tell

if TYPE_CHECKING:
    from messaging.replies.inbox import InboundReport, InboxFilter, InboxPage, ReviewReason
    from operations.connection import Drumbeat

__all__ = ["app"]

app = typer.Typer()

EXAMPLES = 3


def _read_reason(text: str) -> str:
    if text not in REASONS:
        raise typer.BadParameter(f"{text!r} is no reason; {did_you_mean(text, list(REASONS))}")
    return text


Only = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Only these; may be repeated: {', '.join(REASONS)}.",
        parser=_read_reason,
        metavar="REASON",
        autocompletion=names.among(REASONS),
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Only replies to this device.", autocompletion=names.devices)
]
Sequence = Annotated[
    str | None, typer.Option(help="Only replies to this sequence.", autocompletion=names.sequences)
]
Campaign = Annotated[
    str | None, typer.Option(help="Only replies to this campaign.", autocompletion=names.campaigns)
]
Phone = Annotated[str | None, typer.Option(help="Only what this phone wrote.")]
Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        help="Only what was sent since then: 2d, 3h, or a date and time in UTC.",
        parser=read_since,
        metavar="WHEN",
    ),
]


@app.callback(invoke_without_command=True)
def list_inbox(
    context: typer.Context,
    only: Only = None,
    device: Device = None,
    sequence: Sequence = None,
    campaign: Campaign = None,
    phone: Phone = None,
    default_region: Region = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option(help="How many, the latest first.", parser=read_count, metavar="NUMBER")
    ] = 100,
    before: Annotated[
        int | None,
        typer.Option(help="The next page: those that come after this one.", parser=read_count, metavar="ID"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the replies that a person should read, the newest first: answers, possible stops, senders that are no leads.

    A reply of STOP, or another keyword, opts its sender out automatically. It is listed only if it is an ordinary word
    too. The keyword of a sequence enrolls its sender, and is listed with --only enrolled.

    Examples: inbox --only maybe_stop    inbox --sequence intro --since 2d    inbox done 17
    """
    if context.invoked_subcommand is not None:
        return
    if limit < 1:
        raise typer.BadParameter("--limit is the number of messages to show: 1 or more")
    wanted = _filter(only, device, sequence, campaign, phone, since)

    async def work(drumbeat: Drumbeat) -> InboxPage:
        from operations import inboxes

        return await inboxes.list_inbox(
            drumbeat, wanted, limit=limit, before=before, default_region=default_region
        )

    page = run(work, temporal=False)
    if as_json:
        show(page.messages, as_json, lambda _: "")
    else:
        say(_format_page(page, before))


@app.command()
def done(
    identifiers: Annotated[
        list[int] | None,
        typer.Argument(metavar="ID", help="The messages' IDs, as 'inbox' shows them.", parser=read_count),
    ] = None,
    only: Only = None,
    device: Device = None,
    sequence: Sequence = None,
    campaign: Campaign = None,
    phone: Phone = None,
    default_region: Region = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is in the inbox.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take messages that were dealt with out of the inbox: these, or all that match. Doing it twice is harmless.

    For all that match, the command says how many there are, and asks. What arrives meanwhile stays in the inbox.

    Example: inbox done 17 18    inbox done --campaign black-friday --since 1d
    """
    wanted = _filter(only, device, sequence, campaign, phone, since)
    filtered = wanted.model_dump(exclude_defaults=True) != {}
    if bool(identifiers) + filtered + everything != 1:
        fail("give either IDs, or what is to match (--device, --since …), or --all", 2)
    if not identifiers:
        _done_matching(wanted, default_region, yes=yes, as_json=as_json)
        return
    chosen = identifiers

    async def work(drumbeat: Drumbeat) -> list[InboundReport]:
        from operations import inboxes

        return await inboxes.done(drumbeat, *chosen)

    show(
        run(work, temporal=False),
        as_json,
        lambda taken: "\n".join(f"{one.id} is done: {format_inbound(one)}" for one in taken),
    )


def _done_matching(wanted: InboxFilter, default_region: str | None, *, yes: bool, as_json: bool) -> None:
    from messaging.replies.inbox import Cleared

    async def look(drumbeat: Drumbeat) -> InboxPage:
        from operations import inboxes

        return await inboxes.list_inbox(drumbeat, wanted, limit=EXAMPLES, default_region=default_region)

    page = run(look, temporal=False)
    if page.total and not yes:
        for line in _format_examples(page):
            tell(line)
        if not sys.stdin.isatty() or not typer.confirm("Mark them as done?", err=True):
            fail("nothing was changed; with --yes they are marked as done")

    async def work(drumbeat: Drumbeat) -> Cleared:
        from operations import inboxes

        return await inboxes.done_matching(
            drumbeat, wanted, newest=page.newest, default_region=default_region
        )

    cleared = run(work, temporal=False) if page.total else Cleared(done=0)
    show(
        cleared,
        as_json,
        lambda one: f"{count_of(one.done, 'message')} done." if one.done else "Nothing in the inbox matches.",
    )


def _filter(
    only: list[str] | None,
    device: str | None,
    sequence: str | None,
    campaign: str | None,
    phone: str | None,
    since: datetime | None,
) -> InboxFilter:
    from messaging.replies.inbox import InboxFilter

    return InboxFilter(
        reasons=cast("tuple[ReviewReason, ...]", tuple(only or ())),
        device=device,
        sequence=sequence,
        campaign=campaign,
        phone=phone,
        since=since,
    )


def _format_page(page: InboxPage, before: int | None) -> str:
    nothing = "Nothing to look at." if before is None else "Nothing more to look at."
    lines = ["Times are UTC. 'inbox done ID' takes one out." if page.messages else nothing]
    for one in page.messages:
        lines += inbound_lines(one)
    if page.more:
        lines.append(
            f"{count_of(page.total, 'message')} in all; add --before {page.messages[-1].id} for the next ones"
        )
    if before is None and page.enrolled:
        count = count_of(
            page.enrolled, "keyword has enrolled its sender", "keywords have enrolled their senders"
        )
        lines += wrapped(f"{count} in the last 24 hours: see 'inbox --only enrolled'.")
    return "\n".join(lines)


def _format_examples(page: InboxPage) -> list[str]:
    lines = [f"{count_of(page.total, 'message')} in the inbox, for example:"]
    for one in page.messages:
        lines += wrapped(f"{one.id}  {one.phone or 'unknown'}  {format_inbound(one)}", "  ")
    return lines
