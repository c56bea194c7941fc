"""``status`` and ``audit``."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.console import Json, leave, run, show
from messaging.reports import StatusReport
from operations import audit as auditing
from operations import reports
from operations.audit import AuditReport

__all__ = ["audit", "audit_table", "status", "status_table"]


def status(as_json: Json = False) -> None:
    """Show totals, and what needs attention."""
    show(run(reports.status), as_json, status_table)


def audit(as_json: Json = False) -> None:
    """Prove that no promise is broken, or show what breaks it (exit code 1)."""
    report = run(auditing.audit)
    show(report, as_json, audit_table)
    if not report.kept:
        leave(1)


def status_table(report: StatusReport) -> RenderableType:
    """The status as people read it."""
    sequences = Table("sequence", "status", "active", "completed", "ended early", "next due", box=None)
    for one in report.sequences:
        due = f"{one.due_next:%a %d %b %H:%M:%S} UTC" if one.due_next else ""
        sequences.add_row(
            one.sequence, one.status, *(f"{n:,}" for n in (one.active, one.completed, one.ended_early)), due
        )
    campaigns = Table("campaign", "status", "settled", "of leads", "starts", box=None)
    for campaign in report.campaigns:
        campaigns.add_row(
            *(campaign.campaign, campaign.status, f"{campaign.settled:,}", f"{campaign.leads:,}"),
            campaign.when,
        )
    messages = ", ".join(f"{count:,} {name}" for name, count in report.messages.items()) or "none yet"
    parts: list[RenderableType] = [
        Text(f"Leads: {report.leads:,} ({report.opted_out:,} opted out)"),
        Text(f"Messages: {messages}"),
    ]
    if report.sequences:
        parts += [Text(""), sequences]
    if report.campaigns:
        parts += [Text(""), campaigns]
    if report.attention:
        parts += [Text(""), *(Text(f"! {line}") for line in report.attention)]
    return Group(*parts)


def audit_table(report: AuditReport) -> RenderableType:
    """The audit as people read it: a line for each promise, and under it what breaks it."""
    table = Table("", "promise", "evidence", box=None)
    for check in report.checks:
        mark = Text("kept", style="green") if check.kept else Text("BROKEN", style="bold red")
        table.add_row(mark, Text(check.promise), Text(check.evidence))
        for example in check.broken:
            table.add_row("", Text(f"  {example}", style="red"), "")
        if check.count > len(check.broken):
            table.add_row("", Text(f"  and {check.count - len(check.broken):,} more", style="red"), "")
    verdict = "Every promise is kept." if report.kept else "A promise is broken."
    return Group(table, Text(verdict, style="green" if report.kept else "bold red"))
