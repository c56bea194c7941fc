"""``status`` and ``audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import Json, run, show
from cli.page import GREEN, RED, Column, Table, attention, painted, wrapped
from messaging.common.counts import count_of
from runtime.process import leave

if TYPE_CHECKING:
    from messaging.reporting.status import StatusReport
    from operations.audit import AuditReport
    from operations.connection import Drumbeat

__all__ = ["audit", "audit_page", "status", "status_page"]


def status(as_json: Json = False) -> None:
    """Show totals, and what needs attention."""

    async def work(drumbeat: Drumbeat) -> StatusReport:
        from operations import reports

        return await reports.status(drumbeat)

    show(run(work, temporal=False), as_json, status_page)


def audit(as_json: Json = False) -> None:
    """Prove that every promise is kept, or show what breaks one (exit code 1)."""

    async def work(drumbeat: Drumbeat) -> AuditReport:
        from operations import audit

        return await audit.audit(drumbeat)

    report = run(work)
    show(report, as_json, audit_page)
    if not report.kept:
        leave(1)


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
