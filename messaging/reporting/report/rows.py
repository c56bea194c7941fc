"""A report as rows for a spreadsheet."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from messaging.leads.csv_files import RowWriter, new_file
from messaging.reporting.report.model import Figures, Outcomes, Report

__all__ = ["COLUMNS", "rows", "write_csv"]

_STATUSES = tuple(Outcomes.model_fields)

COLUMNS = (
    *("report", "kind", "section", "name", "from", "until", "messages", "due"),
    *_STATUSES,
    *("delivered", "read", "replied", "opted_out"),
)
"""``section`` says what a row is about: total, step, campaign, sequence, device, reason, time, lateness (from and until in seconds) or
hour. What a section has no figure for is empty."""


def rows(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    """The headings, and then a row for each line, device, reason, bin of time, range of lateness and hour. The rows of one section add
    up to those of its total, but for people who answered two messages.
    """
    yield COLUMNS
    for report in reports:
        for figures in (report.total, *report.lines, *report.devices):
            yield _row(report, figures.kind, figures.name, **_cells(figures))
        for why in report.reasons:
            yield _row(report, "reason", f"{why.outcome}: {why.reason}", messages=why.messages)
        for one in report.times:
            end = one.start + timedelta(seconds=report.bin_seconds)
            span = {"from": one.start.isoformat(), "until": end.isoformat()}
            yield _row(report, "time", "", **span, due=one.due, sent=one.sent)
        for late in report.lateness.ranges:
            ends = {"from": late.over, "until": "" if late.up_to is None else late.up_to}
            yield _row(report, "lateness", "", **ends, sent=late.sent)
        for hour in report.hours:
            yield _row(report, "hour", f"{hour.hour:02}:00", replied=hour.replied, opted_out=hour.opted_out)


def _cells(figures: Figures) -> dict[str, int]:
    return {
        "messages": figures.messages,
        "due": figures.due,
        **figures.outcomes.model_dump(),
        "delivered": figures.delivered,
        "read": figures.read,
        "replied": figures.replied,
        "opted_out": figures.opted_out,
    }


def _row(report: Report, section: str, name: str, **cells: object) -> tuple[str, ...]:
    known = {"report": report.name, "kind": report.kind, "section": section, "name": name, **cells}
    return tuple(str(known.get(column, "")) for column in COLUMNS)


def write_csv(reports: Sequence[Report], target: Path | BinaryIO) -> None:
    """Writes the rows to a file, which appears once it is complete, or to a stream. Raises InvalidInput if that cannot be done.

    A cell that a spreadsheet would run as a formula is guarded (:mod:`messaging.leads.cells`).
    """
    if isinstance(target, Path):
        with new_file(target) as writer:
            for row in rows(reports):
                writer.write(row)
        return
    writer = RowWriter(target, "the output")
    try:
        for row in rows(reports):
            writer.write(row)
    finally:
        writer.detach()
