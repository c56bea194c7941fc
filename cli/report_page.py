"""Reports as text, with small bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cli.page import Column, Table, one_line, page_width, shortened, wrapped
from messaging.reporting.report.words import (
    OUTCOMES,
    STAGES,
    caption,
    facts,
    format_seconds,
    largest_lines,
    outcome_counts,
    percent,
    range_of,
    stage_counts,
)
from messaging.times.local_time import format_wall

if TYPE_CHECKING:
    from messaging.reporting.report.model import Figures, Report

__all__ = ["report_page"]

_BAR = 24
"""Columns of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = " ▁▂▃▄▅▆▇█"
_LINES = 30
_NAME = 16


def report_page(reports: Sequence[Report]) -> str:
    """One report, or two side by side."""
    if len(reports) > 1:
        return _side_by_side(reports)
    (report,) = reports
    lines = [*wrapped(caption(report)), *(line for fact in facts(report) for line in wrapped(fact))]
    if not report.total.messages:
        return "\n".join(lines)
    lines += ["", *_funnel(report), "", *_outcomes(report)]
    if report.reasons:
        lines += ["", *_reasons(report)]
    if report.kind != "campaign" and report.lines:
        lines += ["", *_table(report.lines, "step" if report.kind == "sequence" else "campaign or sequence")]
    if report.devices and report.kind != "device":
        lines += ["", *_table(report.devices, "device")]
    lines += ["", *_times(report)]
    if report.total.outcomes.sent:
        lines += ["", *_lateness(report), "", *_hours(report)]
    return "\n".join(lines)


def _bar(count: int, most: int, width: int = _BAR) -> str:
    """A bar of eighths of a column; any count above 0 shows something."""
    if not count or not most:
        return ""
    eighths = max(1, round(width * 8 * count / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _bars(heading: str, rows: Sequence[tuple[str, int, str]], most: int | None = None) -> list[str]:
    """Lines of a name, a count, a share and a bar."""
    table = Table((Column(heading), Column("", right=True), Column("", right=True), Column("", spare=True)))
    longest = most if most is not None else max((count for _, count, _ in rows), default=0)
    for name, count, share in rows:
        table.row(name, f"{count:,}", share, _bar(count, longest))
    return str(table).split("\n")


def _funnel(report: Report) -> list[str]:
    counts = stage_counts(report.total)
    return _bars(
        "of all messages",
        [(stage.words, counts[stage.name], percent(counts[stage.name], counts["due"])) for stage in STAGES]
        + [("people who opted out", report.total.opted_out, "")],
        max(counts.values()),
    )


def _outcomes(report: Report) -> list[str]:
    counts = outcome_counts(report.total.outcomes)
    rows = [
        (outcome.words, counts[outcome.name], percent(counts[outcome.name], report.total.messages))
        for outcome in OUTCOMES
        if counts[outcome.name]
    ]
    return _bars("outcome", rows, report.total.messages)


def _reasons(report: Report) -> list[str]:
    table = Table((Column("not sent"), Column("", right=True), Column("why", least=20, fold=True)))
    for one in report.reasons:
        table.row(one.outcome, f"{one.messages:,}", one.reason)
    return str(table).split("\n")


def _table(lines: Sequence[Figures], heading: str) -> list[str]:
    shown, rest = largest_lines(lines, _LINES)
    table = Table(
        (
            Column(heading, least=10),
            Column("messages", right=True),
            Column("due", right=True, spare=True),
            Column("sent", right=True),
            Column("delivered", right=True),
            Column("read", right=True),
            Column("replied", right=True),
            Column("opted out", right=True, spare=True),
            Column("failed", right=True),
            Column("waiting", right=True, spare=True),
            Column("other", right=True, spare=True),
        )
    )
    for one in shown:
        counts = outcome_counts(one.outcomes)
        other = one.messages - counts["sent"] - counts["failed"] - counts["waiting"]
        table.row(
            f"{one.name} (removed)" if one.removed else one.name,
            *(
                f"{count:,}"
                for count in (
                    *(
                        one.messages,
                        one.due,
                        counts["sent"],
                        one.delivered,
                        one.read,
                        one.replied,
                        one.opted_out,
                    ),
                    *(counts["failed"], counts["waiting"], other),
                )
            ),
        )
    lines_ = str(table).split("\n")
    if rest:
        lines_.append(f"and {rest:,} more: --csv has them all")
    return lines_


def _spark(counts: Sequence[int], most: int) -> str:
    """One column each; any count above 0 shows something."""
    if not most:
        return " " * len(counts)
    return "".join(_HEIGHTS[max(1 if count else 0, round(8 * count / most))] for count in counts)


def _times(report: Report) -> list[str]:
    """Two lines of small bars, due and sent, as wide as the page allows."""
    width = max(10, min((page_width() or 80) - 8, 72, len(report.times)))
    due, sent = ([0] * width for _ in range(2))
    for place, one in enumerate(report.times):
        column = place * width // len(report.times)
        due[column] += one.due
        sent[column] += one.sent
    zone = ZoneInfo(report.time_zone)
    first, last = (format_wall(report.times[place].start, zone) for place in (0, -1))
    return [
        *wrapped(f"over time, {first} to {last}; each line has a scale of its own"),
        *(
            f"{words}  {_spark(counts, max(counts))}".rstrip()
            for words, counts in (("due ", due), ("sent", sent))
        ),
    ]


def _lateness(report: Report) -> list[str]:
    late = report.lateness
    assert late.median is not None
    assert late.most is not None
    assert late.largest is not None
    ranges = [one for one in late.ranges if one.sent]
    return [
        *_bars(
            "sent after due by",
            [(range_of(one), one.sent, percent(one.sent, report.total.outcomes.sent)) for one in ranges],
        ),
        (
            f"half within {format_seconds(late.median)}, 95 % within {format_seconds(late.most)},"
            f" the latest {format_seconds(late.largest)}"
        ),
    ]


def _hours(report: Report) -> list[str]:
    if not report.total.replied and not report.total.opted_out:
        return ["nobody has replied or opted out"]
    replied, opted_out = ([getattr(hour, name) for hour in report.hours] for name in ("replied", "opted_out"))
    return [
        f"people by the hour of their first reply and of their opt-out ({report.time_zone})",
        f"           {'0     6     12    18':<24}",
        *(
            f"{words:<11}{_spark(counts, max(counts)):<24} {sum(counts):>8,}  most in an hour: {max(counts):,}"
            for words, counts in (("replied", replied), ("opted out", opted_out))
        ),
    ]


def _side_by_side(reports: Sequence[Report]) -> str:
    lines = []
    for report in reports:
        lines += [*wrapped(caption(report)), *(line for fact in facts(report) for line in wrapped(fact)), ""]
    heads = [shortened(one_line(report.name), _NAME) for report in reports]
    if len(set(heads)) < len(heads):  # alike, as far as there is room for them
        heads = [shortened(f"{place}: {head}", _NAME) for place, head in enumerate(heads, 1)]
    table = Table(
        (
            Column(""),
            *(column for head in heads for column in (Column(head, right=True), Column("", right=True))),
        )
    )
    stages = [stage_counts(report.total) for report in reports]
    outcomes = [outcome_counts(report.total.outcomes) for report in reports]

    def row(words: str, counts: Sequence[int], of: Sequence[int]) -> None:
        table.row(
            words,
            *(
                cell
                for count, whole in zip(counts, of, strict=True)
                for cell in (f"{count:,}", percent(count, whole))
            ),
        )

    due = [counts["due"] for counts in stages]
    for stage in STAGES:
        row(stage.words, [counts[stage.name] for counts in stages], due)
    row("people who opted out", [report.total.opted_out for report in reports], due)
    messages = [report.total.messages for report in reports]
    for outcome in OUTCOMES[1:]:
        if any(counts[outcome.name] for counts in outcomes):
            row(outcome.words, [counts[outcome.name] for counts in outcomes], messages)
    for place, one in enumerate(reports[0].lateness.ranges):
        counts = [report.lateness.ranges[place].sent for report in reports]
        if any(counts):
            row(
                f"late {range_of(one)}",
                counts,
                [report.total.outcomes.sent for report in reports],
            )
    return "\n".join([*lines, str(table)])
