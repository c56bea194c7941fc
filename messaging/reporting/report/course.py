"""How a report's messages went out over time, summed up: the lines of the plot."""

from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

from messaging.reporting.report.model import Report
from messaging.times.local_time import wall_of

__all__ = ["Course", "Points", "course_of"]

Points = list[tuple[datetime, int]]
"""Moments as the report's time zone shows them (naive), and how many messages by then."""


class Course(NamedTuple):
    """``due`` changes in steps. ``expected`` goes from what is sent to the expected end; it is empty where that is not known, or
    so far away that nothing else could be seen beside it.
    """

    due: Points
    sent: Points
    expected: Points


def course_of(report: Report) -> Course:
    """The lines of a report that has messages. What was sent is known until the moment of the report, and no further."""
    zone, width = ZoneInfo(report.time_zone), timedelta(seconds=report.bin_seconds)
    starts = [wall_of(one.start, zone) for one in report.times]
    end = starts[-1] + width
    now = max(starts[0], wall_of(min(report.made_at, report.until or report.made_at), zone))
    # What is due in a bin is asked for at its beginning, and sent by its end.
    due = [(starts[0], 0)]
    due += list(zip(starts, accumulate(one.due for one in report.times), strict=True))
    sent = [(starts[0], 0)]
    for start, count in zip(starts, accumulate(one.sent for one in report.times), strict=True):
        if start <= now or count > sent[-1][1]:
            sent.append((max(start, min(start + width, now)), count))
    expected: Points = []
    if report.expected_end is not None and report.total.outcomes.waiting:
        ends = wall_of(report.expected_end, zone)
        if now < ends < starts[0] + 6 * max(now - starts[0], width):
            expected = [(now, sent[-1][1]), (ends, sent[-1][1] + report.total.outcomes.waiting)]
    if report.total.outcomes.waiting and now > sent[-1][0]:
        # What waits has waited until now. The plot shows it, but becomes no more than twice as long for it.
        until = now if expected else min(now, end + (end - starts[0]))
        sent.append((until, sent[-1][1]))
    due.append((max(moment for moment, _ in ((end, 0), *sent, *expected)), due[-1][1]))
    return Course(due, sent, expected)
