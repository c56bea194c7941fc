"""``status`` and ``audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, run, show
from cli.page import GREEN, RED, Column, Table, attention, painted, wrapped
from cli.selection import confirm
from messaging.common.counts import count_of
from runtime.process import leave

if TYPE_CHECKING:
    from messaging.reporting.status import StatusReport
    from operations.audit import AuditReport
    from operations.connection import Drumbeat
    from operations.repair import Repair

__all__ = ["audit", "audit_page", "repair_page", "status", "status_page"]


def status(as_json: Json = False) -> None:
    """Show totals, and what needs attention."""

    async def work(drumbeat: Drumbeat) -> StatusReport:
        from operations import reports

        return await reports.status(drumbeat)

    show(run(work, temporal=False), as_json, status_page)


def audit(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Bring ledger and Temporal together again; says what it would do, and asks."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --repair: say what it would do, no more.")
    ] = False,
    temporal_kept: Annotated[
        bool,
        typer.Option(
            "--temporal-kept",
            help="With --repair: Temporal was not restored, so what its histories do not show was not sent.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --repair: do not ask first.")] = False,
    as_json: Json = False,
) -> None:
    """Prove that every promise is kept, or show what breaks one (exit code 1)."""
    if not repair:
        if dry_run or temporal_kept or yes:
            raise typer.BadParameter("--dry-run, --temporal-kept and --yes go with --repair")
        report = run(_audit)
        show(report, as_json, audit_page)
        if not report.kept:
            leave(1)
        return

    async def work(drumbeat: Drumbeat) -> Repair:
        from operations.repair import repair as bring_together

        planned = await bring_together(drumbeat, dry_run=True, temporal_kept=temporal_kept)
        if dry_run or planned.nothing:
            return planned
        if not yes:
            confirm(repair_page(planned).splitlines(), "Do it?", as_json=as_json)
        return await bring_together(drumbeat, temporal_kept=temporal_kept)

    show(run(work), as_json, repair_page)


async def _audit(drumbeat: Drumbeat) -> AuditReport:
    from operations import audit

    return await audit.audit(drumbeat)


def repair_page(repair: Repair) -> str:
    """What a repair did, or would do, as text."""
    if repair.nothing:
        return "There is nothing to repair."
    lines = []
    if repair.restored:
        lines += wrapped(
            "The ledger was restored to an earlier moment. Opt-outs of since then are gone, unless the lines below say otherwise:"
            " enter those that you know of with 'opt-out PHONE', before anything is sent."
            if repair.dry_run
            else "The ledger was restored to an earlier moment."
        )
    lines += [
        line
        for words in repair.done
        for line in wrapped(f"{'to do' if repair.dry_run else 'done'}: {words}", "  ")
    ]
    lines += [line for words in repair.left for line in wrapped(f"left to you: {words}", "  ")]
    if repair.confirmed:
        lines += wrapped(
            "Sending goes on. Unconfirmed messages are never sent again by themselves: 'messages --status unconfirmed' lists them."
        )
    elif repair.restored:
        lines.append("Afterwards, sending goes on; until then everything is paused.")
    return "\n".join(lines)


def status_page(report: StatusReport) -> str:
    """The status as text."""
    from messaging.times.local_time import format_wall

    sequences = Table(
        (
            Column("sequence"),
            Column("status"),
            Column("in it", right=True),  # with those that are paused
            Column("paused", right=True, spare=True),
            Column("completed", right=True),
            Column("ended early", right=True, spare=True),
            Column("next due (UTC)", spare=True),
        )
    )
    for one in report.sequences:
        due = format_wall(one.due_next) if one.due_next else ""
        sequences.row(
            one.sequence,
            one.status,
            *(f"{n:,}" for n in (one.active, one.paused, one.completed, one.ended_early)),
            due,
        )
    campaigns = Table(
        (
            Column("campaign"),
            Column("status"),
            Column("settled", right=True),
            Column("of leads", right=True),
            Column("starts", least=16, spare=True),
        )
    )
    for campaign in report.campaigns:
        campaigns.row(
            *(campaign.campaign, campaign.status, f"{campaign.settled:,}", f"{campaign.leads:,}"),
            campaign.when,
        )
    messages = ", ".join(f"{count:,} {name}" for name, count in report.messages.items()) or "none yet"
    lines = [
        f"Leads: {report.leads:,} ({report.opted_out:,} opted out"
        + (f", {report.opted_out_of_marketing:,} of marketing only" if report.opted_out_of_marketing else "")
        + ")"
        + (f"; opted out and no lead: {report.others_opted_out:,}" if report.others_opted_out else ""),
        *wrapped(f"Messages: {messages}"),
    ]
    if report.messages:
        lines.append(
            f"Of the sent ones {report.delivered:,} delivered, {report.read:,} read;"
            f" {count_of(report.replied, 'person has', 'people have')} written"
        )
    lines += [line for words in report.waits for line in wrapped(words)]
    if report.sequences:
        lines += ["", str(sequences)]
    if report.campaigns:
        lines += ["", str(campaigns)]
    if report.attention:
        lines += ["", *(line for words in report.attention for line in attention(words))]
    return "\n".join(lines)


def audit_page(report: AuditReport) -> str:
    """The audit as text: a line for each promise, and below it what breaks it."""
    table = Table(
        (Column(""), Column("promise", least=24, fold=True), Column("evidence", least=20, fold=True))
    )
    for check in report.checks:
        broken = [painted(line, RED) for example in check.broken for line in wrapped(example, "          ")]
        if check.count > len(check.broken):
            broken.append(f"          and {check.count - len(check.broken):,} more")
        table.row("kept" if check.kept else "BROKEN", check.promise, check.evidence, below=broken)
    verdict = (
        painted("Every promise is kept.", GREEN) if report.kept else painted("A promise is broken.", RED)
    )
    return "\n".join([str(table), verdict])
