"""What the forms of a report for people have in common: names, sentences, shares, and which lines are shown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from messaging.common.counts import count_of
from messaging.reporting.report.model import Figures, LatenessRange, Outcomes, Report
from messaging.times.local_time import format_moment, format_wall, wall_of

__all__ = [
    "OUTCOMES",
    "STAGES",
    "Named",
    "caption",
    "facts",
    "format_seconds",
    "largest_lines",
    "outcome_counts",
    "percent",
    "printable",
    "range_of",
    "stage_counts",
    "subtitle",
]

_NAMED = 3
"""Paused devices that are named."""


class Named(NamedTuple):
    """A figure and its words."""

    name: str
    words: str


STAGES = (
    Named("due", "due"),
    Named("sent", "sent"),
    Named("delivered", "delivered"),
    Named("read", "read"),
    Named("replied", "people who replied"),
)
"""From due to answered. The last one counts people."""

OUTCOMES = (
    Named("sent", "sent"),
    Named("waiting", "waiting"),
    Named("unconfirmed", "unconfirmed"),
    Named("failed", "failed"),
    Named("expired", "expired"),
    Named("suppressed", "suppressed (opted out)"),
    Named("cancelled", "cancelled"),
)
"""Every message has one of them: they add up."""


def stage_counts(figures: Figures) -> Mapping[str, int]:
    """The count of each stage."""
    return {
        "due": figures.due,
        "sent": figures.outcomes.sent,
        "delivered": figures.delivered,
        "read": figures.read,
        "replied": figures.replied,
    }


def outcome_counts(outcomes: Outcomes) -> Mapping[str, int]:
    """The count of each outcome."""
    return {one.name: getattr(outcomes, one.name) for one in OUTCOMES}


def percent(count: int, whole: int) -> str:
    """``97.3 %``: never 100 % or 0 % of what is not all or none."""
    if not whole:
        return ""
    if count in (0, whole):
        return "0 %" if not count else "100 %"
    share = 100 * count / whole
    if share > 99.9 and count < whole:
        return "> 99.9 %"
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def printable(text: str) -> str:
    """A text from outside on one line: no control characters, and no marks that turn the direction of what follows around."""
    return " ".join(
        "".join(one if one.isprintable() or one in "\u200c\u200d" else " " for one in text).split()
    )


def format_seconds(seconds: int) -> str:
    """``45 s``, ``10 min``, ``4 h``, ``2 days``: the largest unit, and the one below it if there is a rest."""
    units = ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s"))
    for place, (size, unit) in enumerate(units):
        whole, rest = divmod(seconds, size)
        if whole:
            word = f"{whole} {unit}{'s' if unit == 'day' and whole > 1 else ''}"
            more = rest // units[place + 1][0] if rest else 0
            return f"{word} {more} {units[place + 1][1]}" if more else word
    return "0 s"


def range_of(one: LatenessRange) -> str:
    """``up to 10 s``, ``10 s to 1 min``, ``over 1 day``."""
    if one.up_to is None:
        return f"over {format_seconds(one.over)}"
    if not one.over:
        return f"up to {format_seconds(one.up_to)}"
    return f"{format_seconds(one.over)} to {format_seconds(one.up_to)}"


def caption(report: Report) -> str:
    """What the report is about, in a line."""
    return f"{report.kind.capitalize()} {report.name}: {subtitle(report)}"


def subtitle(report: Report) -> str:
    """Its title and status, or the days of the week."""
    if report.kind == "week":
        return _week(report)
    return " · ".join(part for part in (report.title, report.status) if part)


def _held(report: Report, zone: ZoneInfo) -> str:
    """Why no end can be said of a campaign, and what can."""
    names, more = report.held_by[:_NAMED], len(report.held_by) - _NAMED
    devices = ", ".join(names) + (f" and {count_of(more, 'more device')}" if more > 0 else "")
    rest = ""
    if report.others_end is not None:
        rest = f"; what the other devices have ends about {format_wall(report.others_end, zone)[:16]}, at their pace"
    return f"No end can be said while {devices} {'is' if len(report.held_by) == 1 else 'are'} paused{rest}."


def facts(report: Report) -> list[str]:
    """Sentences about what is counted, and how."""
    zone = ZoneInfo(report.time_zone)
    found = []
    if report.reason:
        found.append(f"Why: {report.reason}.")
    if report.since is not None and report.kind != "week":
        found.append(f"Only {_week(report)}.")
    if report.kind == "campaign" and report.total.messages:
        left = ", ".join(f"{count:,} {why}" for why, count in report.left_out.items())
        found.append(
            f"Audience: {count_of(report.total.messages, 'lead')}{f'; left out: {left}' if left else ''}."
        )
    if report.expected_end is not None:
        found.append(
            f"Expected end: about {format_wall(report.expected_end, zone)[:16]}, at the devices' pace."
        )
    if report.held_by:
        found.append(_held(report, zone))
    if report.contacts:
        paused = f" ({report.paused:,} of them paused)" if report.paused else ""
        by_status = ", ".join(
            f"{count:,} {status.replace('_', ' ')}{paused if status == 'active' else ''}"
            for status, count in report.contacts.items()
        )
        found.append(f"Contacts: {by_status}. Steps that they have not come to yet are not counted.")
    if not report.total.messages:
        found.append(_nothing(report))
    elif not report.total.outcomes.sent:
        found.append("Nothing sent yet.")
    not_counted = [
        count_of(count, one, many)
        for count, one, many in (
            (report.test_messages, "test message", "test messages"),
            (report.confirmations, "confirmation of an opt-out", "confirmations of opt-outs"),
        )
        if count is not None
    ]
    said = ", ".join(not_counted) or "test messages and confirmations of opt-outs"
    found.append(f"Not counted: {said}.")
    found.append(f"As of {format_moment(report.made_at, zone)}; all times are of this zone.")
    return found


def _nothing(report: Report) -> str:
    if report.kind == "campaign" and report.status in ("draft", "scheduled"):
        return (
            f"Nothing sent yet: it has not started ({report.status}), and its audience is taken at the start."
        )
    if report.since is not None:
        return "Nothing was sent, and nothing was due."
    return "Nothing sent yet, and nothing is due."


def _week(report: Report) -> str:
    assert report.since is not None
    assert report.until is not None
    zone = ZoneInfo(report.time_zone)
    first, after = wall_of(report.since, zone), wall_of(report.until, zone)
    words = f"{first:%Y-%m-%d} to {after.fromordinal(after.toordinal() - 1):%Y-%m-%d}"
    return words if report.until <= report.made_at else f"{words}, which is not over"


def largest_lines(lines: Sequence[Figures], most: int) -> tuple[list[Figures], int]:
    """The lines to show in their order, at most so many, those with most messages; and how many are left out."""
    kept = {id(line) for line in sorted(lines, key=lambda line: -line.messages)[:most]}
    return [line for line in lines if id(line) in kept], max(0, len(lines) - most)
