"""Bins of time and lateness."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from messaging.reporting.report.model import Lateness, LatenessRange, TimeBin

__all__ = ["LATENESS_EDGES", "lateness_of", "time_bins", "width_of"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_WIDTHS = (
    *(1, 2, 5, 10, 15, 30),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 7)),
)
_MOST_BINS = 110

LATENESS_EDGES = (0, 10, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY)
"""In seconds; what is later than the last is one range."""


def width_of(span: timedelta) -> int:
    """The seconds of a bin: the fewest of a handy number with which at most 110 bins cover the span."""
    for width in _WIDTHS:
        if span.total_seconds() / width < _MOST_BINS:
            return width
    weeks = span.total_seconds() / (7 * _DAY)
    return 7 * _DAY * (int(weeks / _MOST_BINS) + 1)


def time_bins(
    due: Mapping[datetime, int], sent: Mapping[datetime, int], width: int, zone: ZoneInfo
) -> tuple[TimeBin, ...]:
    """One bin after the other, the empty ones too. The keys are starts of bins, as the zone's clocks show them (naive)."""
    starts = due.keys() | sent.keys()
    if not starts:
        return ()
    bins = []
    start, last = min(starts), max(starts)
    while start <= last:
        bins.append(TimeBin(start=start.replace(tzinfo=zone), due=due.get(start, 0), sent=sent.get(start, 0)))
        start += timedelta(seconds=width)
    return tuple(bins)


def lateness_of(late: Mapping[int, int]) -> Lateness:
    """From how many sent messages were so many seconds late."""
    edges = [*LATENESS_EDGES, None]
    ranges = []
    for over, up_to in pairwise(edges):
        assert over is not None
        ranges.append(
            LatenessRange(
                over=over,
                up_to=up_to,
                sent=sum(
                    count
                    for seconds, count in late.items()
                    if (seconds > over or over == 0) and (up_to is None or seconds <= up_to)
                ),
            )
        )
    if not late:
        return Lateness(ranges=tuple(ranges))
    return Lateness(
        ranges=tuple(ranges), median=_quantile(late, 0.5), most=_quantile(late, 0.95), largest=max(late)
    )


def _quantile(late: Mapping[int, int], share: float) -> int:
    """The least number of seconds that at least that share of the messages do not exceed."""
    wanted, seen = share * sum(late.values()), 0
    for seconds in sorted(late):
        seen += late[seconds]
        if seen >= wanted:
            return seconds
    raise AssertionError("a share is at most 1")
