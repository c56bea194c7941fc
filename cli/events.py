"""``events``: who did what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, say, show
from cli.page import one_line, page_width, shortened, wrapped
from cli.values import read_count, read_since
from runtime.process import fail

if TYPE_CHECKING:
    from messaging.events.read import ActPage, ActReport, Event
    from operations.connection import Drumbeat

__all__ = ["events_page", "list_events"]

LONGEST_WHO = 28
"""Columns for who it was, at most."""


def list_events(
    actor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what this user or service did, or 'drumbeat'.")
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(help="Only what came this way: 'command line', service, 'web ui', reply, itself."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only such events, e.g. campaign.paused, or a part of it: paused, device."),
    ] = None,
    phone: Annotated[str | None, typer.Option(help="Only about this person.")] = None,
    sequence: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only about this sequence.", autocompletion=names.sequences),
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only about this campaign.", autocompletion=names.campaigns),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only about this device.", autocompletion=names.devices)
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Only since then: 2d, 3h, or a date and time in UTC.", parser=read_since, metavar="WHEN"
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what goes as planned: automatic enrollments, answers, ends.")
    ] = False,
    act: Annotated[
        int | None,
        typer.Option(
            help="Each event of this entry: which contacts it concerned.", parser=read_count, metavar="ID"
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="How many, the latest first.", parser=read_count, metavar="NUMBER")
    ] = 50,
    before: Annotated[
        int | None,
        typer.Option(help="The next page: those that come after this one.", parser=read_count, metavar="ID"),
    ] = None,
    default_region: Annotated[
        str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List who did what, the newest first. What was done together is one entry, however many contacts it concerned.

    Examples: events --actor anna --since 1d    events --kind paused --device kl-1    events --phone +12015550123
    """
    if limit < 1:
        raise typer.BadParameter("--limit is the number of entries to show: 1 or more")
    if act is not None:
        _show_act(act, limit, as_json=as_json)
        return

    async def work(drumbeat: Drumbeat) -> ActPage:
        from messaging.events.read import EventFilter
        from operations import events

        wanted = EventFilter(
            actor=actor,
            via=via,
            kind=kind,
            sequence=sequence,
            campaign=campaign,
            device=device,
            since=since,
            everything=everything,
        )
        return await events.list_events(
            drumbeat, wanted, phone=phone, default_region=default_region, limit=limit, before=before
        )

    page = run(work, temporal=False)
    if as_json:
        show(page.acts, as_json, lambda _: "")
    else:
        say(events_page(page))


def _show_act(act: int, limit: int, *, as_json: bool) -> None:
    async def work(drumbeat: Drumbeat) -> list[Event]:
        from operations import events

        return await events.show_act(drumbeat, act, limit=limit)

    found = run(work, temporal=False)
    if not found:
        fail(f"there is no act {act}: 'events --json' shows their numbers")
    show(found, as_json, lambda some: "\n".join(_lines(some)))


def events_page(page: ActPage) -> str:
    """A page of acts as text."""
    lines = _lines(page.acts) if page.acts else ["Nothing was done that matches."]
    if page.before is not None:
        lines += ["", f"There are older ones: add --before {page.before}"]
    if page.left_out:
        words = (
            "Left out: automatic enrollments, completed sequences and answers of contacts; --all shows them."
        )
        lines += ["", *wrapped(words)]
    return "\n".join(lines)


def _lines(rows: Sequence[ActReport | Event]) -> list[str]:
    """When, who and what; what does not fit goes on in the next line, below its beginning."""
    from messaging.times.local_time import format_wall

    whos = [shortened(one_line(one.who), LONGEST_WHO) for one in rows]
    width = max(map(len, whos))
    limit = page_width()
    if limit is not None:
        width = min(width, LONGEST_WHO if limit >= 100 else 20)
    lines = [f"{'when (UTC)':19}  {'who':{width}}  what"]
    for one, who in zip(rows, whos, strict=True):
        head = f"{format_wall(one.at)}  {shortened(who, width):{width}}  "
        first, *more = wrapped(one.what, " " * len(head))
        lines += [head + first.lstrip(), *more]
    return lines
