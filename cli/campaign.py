"""``campaign``: apply files, start, pause, resume, cancel, send failed messages again, look at them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from cli import names
from cli.campaign_plan import expected_end, format_plan
from cli.console import Json, run, show
from cli.page import Column, Table, wrapped
from cli.results import results_line
from cli.selection import confirm
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from messaging.campaigns.apply import AppliedCampaign
    from messaging.campaigns.plan import CampaignDetails
    from messaging.campaigns.store import CampaignSummary
    from operations.campaigns import CampaignChange, CampaignStart
    from operations.connection import Drumbeat

__all__ = ["app"]

app = typer.Typer(help="Campaigns: one message to every lead that matches a target.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The campaign's name.", autocompletion=names.campaigns)
]


@app.command("apply")
def apply(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.yaml", help="One campaign each.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would change, and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create or edit campaigns from YAML files: all of them, or none if one has a problem.

    Nothing is sent before 'campaign start'. Until a campaign has started, everything in it may be edited, its time too.
    """

    def check() -> None:
        from operations.files import check_readable

        check_readable(files)

    async def work(drumbeat: Drumbeat) -> list[AppliedCampaign]:
        from operations import campaigns

        return await campaigns.apply(drumbeat, files, dry_run=dry_run)

    applied = run(work, check=check, temporal=not dry_run)
    show(applied, as_json, partial(_format_applied, dry_run=dry_run))


@app.command()
def start(
    campaign: Name,
    now: Annotated[bool, typer.Option("--now", help="At once, whatever its scheduled_at says.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the start would mean, and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a campaign: at its scheduled_at, or at once if it has none. A second start changes nothing.

    Says before to how many leads it goes, by which devices, at which pace and until when, and asks.
    """

    async def plan(drumbeat: Drumbeat) -> CampaignStart:
        from operations import campaigns

        return await campaigns.plan_start(drumbeat, campaign, now=now)

    if dry_run or not yes:
        planned = run(plan, temporal=False)
        if dry_run:
            show(planned, as_json, lambda one: "\n".join([*format_plan(one), "nothing was changed"]))
            return
        if planned.changes:
            confirm(format_plan(planned), "Start it?", as_json=as_json)

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.start(drumbeat, campaign, now=now)

    show(run(work, works=lambda _: True), as_json, _format_change)


@app.command()
def move(
    campaign: Name,
    time: Annotated[
        str,
        typer.Argument(
            metavar="TIME", help="Such as '2035-11-23 10:00', or '2035-11-23 10:00 Asia/Kuala_Lumpur'."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Give a campaign that has not started another time. Its file keeps the old one: applying it moves the campaign back."""

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.move(drumbeat, campaign, time)

    show(run(work), as_json, _format_change)


@app.command("list")
def list_campaigns(as_json: Json = False) -> None:
    """All campaigns, the latest first, and how far they are."""

    async def work(drumbeat: Drumbeat) -> list[CampaignSummary]:
        from operations import reports

        return await reports.list_campaigns(drumbeat)

    show(run(work, temporal=False), as_json, _format_list)


@app.command()
def status(campaign: Name, as_json: Json = False) -> None:
    """One campaign: how far it is and when it ends, its target, its time, and its messages by status."""

    async def work(drumbeat: Drumbeat) -> CampaignDetails:
        from operations import reports

        return await reports.campaign_status(drumbeat, campaign)

    show(run(work, temporal=False), as_json, _format_details)


@app.command()
def pause(
    campaign: Name,
    reason: Annotated[str, typer.Option(help="Why; shown wherever a message waits for the campaign.")] = "",
    as_json: Json = False,
) -> None:
    """Pause a campaign: send nothing of it until it is resumed. Nothing is lost: due messages wait."""

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.pause(drumbeat, campaign, reason)

    show(run(work), as_json, _format_change)


@app.command()
def resume(campaign: Name, as_json: Json = False) -> None:
    """Resume a paused campaign. Waiting messages go out at the devices' pace."""

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.resume(drumbeat, campaign)

    show(run(work, works=lambda _: True), as_json, _format_change)


@app.command()
def cancel(campaign: Name, as_json: Json = False) -> None:
    """End a campaign for good. Unsent messages are never sent; sent ones cannot be taken back."""

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.cancel(drumbeat, campaign)

    show(run(work), as_json, _format_change)


@app.command("retry-failed")
def retry_failed(campaign: Name, as_json: Json = False) -> None:
    """Send the failed messages of a campaign again, and no others. 'messages' lists them with the reasons."""

    async def work(drumbeat: Drumbeat) -> CampaignChange:
        from operations import campaigns

        return await campaigns.retry_failed(drumbeat, campaign)

    show(run(work, works=lambda _: True), as_json, _format_change)


def _format_applied(applied: list[AppliedCampaign], *, dry_run: bool) -> str:
    lines = ["this was a dry run: nothing was changed"] if dry_run else []
    for one in applied:
        lines += one.warnings
        lines.append(f"{one.campaign}: {'nothing changed' if one.result == 'unchanged' else one.result}")
        lines += [f"  {change}" for change in one.changes]
        if one.status == "cancelled":
            lines.append("  it was cancelled: use another name")
        if one.status == "draft":
            lines.append(f"  a draft: 'campaign start {one.campaign}' starts it")
    return "\n".join(lines)


def _format_change(change: CampaignChange) -> str:
    from operations.sentences import campaign_said

    return campaign_said(change)


def _format_list(listed: list[CampaignSummary]) -> str:
    if not listed:
        return "There is no campaign yet: create one with 'campaign apply FILE.yaml'."
    table = Table(
        (
            Column("campaign"),
            Column("status"),
            Column("start", least=16),
            Column("leads", right=True),
            Column("sent", right=True),
            Column("failed", right=True),
            Column("to go", right=True),
            Column("title", least=12, spare=True),
        )
    )
    for one in listed:
        counts = one.messages
        start = one.when if one.frozen_at is None else _format_moment(one.frozen_at, UTC)
        table.row(
            *(one.name, one.status, start),
            *(f"{count:,}" for count in (counts.total, counts.sent, counts.failed, counts.unsettled)),
            one.title,
        )
    return str(table)


_FAN_OUTS = {
    "children": "which the Web UI shows as a tree",
    "eager": "which is quicker, and no tree",
}


def _format_details(one: CampaignDetails) -> str:
    from messaging.events.latest import by_whom

    counts = one.messages
    zone = UTC if one.time_zone == "recipient" else ZoneInfo(one.time_zone)
    target = [f"niche {one.niche}" if one.niche else "every niche", f"status {one.target_status}"]
    if one.device_ids:
        target.append(f"devices {', '.join(one.device_ids)}")
    if one.require_consent:
        target.append("only with consent")
    lines = [
        f"{one.name}: {one.status}" + (f" ({one.title})" if one.title else ""),
        f"target: {', '.join(target)}; category {one.category}, outside_window {one.outside_window}",
        f"starts {one.when}"
        if one.frozen_at is None
        else f"started {_format_moment(one.frozen_at, zone)} ({one.when})",
    ]
    if one.status == "paused":
        lines += wrapped(f"is paused{f': {one.reason}' if one.reason else ''}{by_whom(one.paused_by, zone)}")
    if one.status == "draft" and one.reason:
        lines.append(f"did not start: {one.reason}; mend it with 'campaign apply', and start it again")
    if one.ended_at is not None:
        lines.append(
            f"ended {_format_moment(one.ended_at, zone)}" + (f": {one.reason}" if one.reason else "")
        )
    lines.append(f"fan-out: {one.fan_out}, {_FAN_OUTS[one.fan_out]}")
    if one.plan is not None and one.frozen_at is None:
        lines.append(
            f"as things are now: {count_of(one.plan.leads, 'lead')} ('audience {one.name}' says who)"
        )
    if one.frozen_at is None:
        return "\n".join(lines)
    left_out = {
        "opted out": one.opted_out,
        "without consent": one.without_consent,
        "without a device": one.without_device,
        "whose time had passed": one.passed,
    }
    left = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
    lines.append("audience: " + count_of(counts.total, "lead") + (f"; left out: {left}" if left else ""))
    if counts.total:
        settled = counts.total - counts.unsettled
        lines.append(f"progress: {settled:,} of {counts.total:,} settled ({settled / counts.total:.0%})")
    if one.plan is not None and one.plan.leads:
        paused = one.status == "paused"
        lines += wrapped("no end can be said: the campaign is paused" if paused else expected_end(one.plan))
    table = Table((Column("messages"), Column("", right=True)))
    for status, count in counts.model_dump().items():
        if count:
            table.row(status, f"{count:,}")
    if not counts.total:
        return "\n".join(lines)
    lines += ["", str(table)]
    if one.waits:
        lines += ["", *(line for words in one.waits for line in wrapped(words))]
    if one.results is not None:
        lines += ["", f"results: {results_line(one.results)}"]
    return "\n".join(lines)


def _format_moment(moment: datetime, zone: tzinfo) -> str:
    from messaging.times.local_time import format_moment

    return format_moment(moment, zone)
