"""The plots of a report. Each is given one report, and shows counts; or two, and shows shares, so that they can be compared."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from messaging.reporting.report.canvas import COLOURS, FONT, drawn, tidy
from messaging.reporting.report.course import Points, course_of
from messaging.reporting.report.model import Figures, Report
from messaging.reporting.report.words import (
    OUTCOMES,
    STAGES,
    largest_lines,
    outcome_counts,
    percent,
    printable,
    range_of,
    stage_counts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "MOST_DEVICES",
    "MOST_LINES",
    "devices",
    "funnel",
    "hours",
    "lateness",
    "steps",
    "times",
]

SERIES = ("first", "second")
MOST_LINES, MOST_DEVICES = 25, 40
"""So many are drawn; a sentence says how many more there are."""

_PLOT = 250
_LONGEST_NAME = 22
_SHORT_NAME = 13


def _count_axis(axes: "Axes", which: str, most: float, *, share: bool = False) -> None:
    """An axis of counts or shares, from 0."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.yaxis if which == "y" else axes.xaxis
    limits = axes.set_ylim if which == "y" else axes.set_xlim
    limits(0, max(most * 1.08, 1))
    axis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}{' %' if share else ''}"))


def _short(name: str, width: float) -> str:
    name = printable(name)
    room = _LONGEST_NAME if width > 500 else _SHORT_NAME
    return name if len(name) <= room else f"{name[: room - 1]}…"


def times(reports: Sequence[Report], width: float, name: str, words: str) -> str:
    """Due and sent, summed up over time. Of two reports: what was sent, in percent, by the time since the first was due."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if len(reports) == 1:
            _one_over_time(axes, reports[0], width)
        else:
            _two_over_time(axes, reports)
        tidy(axes)

    return drawn(draw, width=width, height=_PLOT, name=name, words=words)


def _summed(report: Report, of: str) -> list[int]:
    return [0, *accumulate(getattr(one, of) for one in report.times)]


def _one_over_time(axes: "Axes", report: Report, width: float) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    course = course_of(report)

    def line(points: Points) -> tuple[list[float], list[int]]:
        return [float(date2num(moment)) for moment, _ in points], [count for _, count in points]  # type: ignore[no-untyped-call]

    due, sent = line(course.due), line(course.sent)
    axes.plot(*due, color=COLOURS["due"], linewidth=2, linestyle=(0, (4, 2)), drawstyle="steps-post")
    axes.fill_between(*sent, color=COLOURS["sent"], alpha=0.18, linewidth=0)
    axes.plot(*sent, color=COLOURS["sent"], linewidth=2.5)
    if course.expected:
        axes.plot(*line(course.expected), color=COLOURS["sent"], linewidth=2, linestyle=(0, (1, 2)))
    axes.set_xlim(due[0][0], due[0][-1])
    axes.xaxis_date()
    locator = AutoDateLocator(minticks=3, maxticks=6 if width > 500 else 4)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator,
            formats=["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["", "%b %Y", "%d %b", "%d %b", "%H:%M", "%H:%M:%S"],
            show_offset=False,
        )
    )
    axes.set_xlabel(_moments(course.due[0][0], course.due[-1][0], report.time_zone))
    axes.set_ylabel("messages, summed up")
    _count_axis(axes, "y", max(*due[1], *sent[1]))


def _moments(first: datetime, last: datetime, zone: str) -> str:
    if first.date() == last.date():
        return f"{first:%Y-%m-%d}, {zone}"
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {zone}"


def _two_over_time(axes: "Axes", reports: Sequence[Report]) -> None:
    spans = [len(report.times) * report.bin_seconds for report in reports]
    size, unit = next(
        (size, unit)
        for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
        if max(*spans, 1) >= 2 * size or size == 1
    )
    for report, series in zip(reports, SERIES, strict=True):
        if report.times:
            since = [place * report.bin_seconds / size for place in range(len(report.times) + 1)]
            whole = max(report.total.messages, 1)
            shares = [100 * count / whole for count in _summed(report, "sent")]
            axes.plot(since, shares, color=COLOURS[series], linewidth=2.5)
    axes.set_xlim(0, max(*spans, 1) / size)
    axes.set_xlabel(f"{unit} since the first message was due")
    axes.set_ylabel("sent, of all messages")
    _count_axis(axes, "y", 100, share=True)


def funnel(reports: Sequence[Report], width: float, name: str, words: str) -> str:
    """From due to replied, all messages: a bar for each stage and report."""
    counts = [stage_counts(report.total) for report in reports]
    labels = [stage.words for stage in STAGES]
    return _bars_of(
        labels,
        [[one[stage.name] for stage in STAGES] for one in counts],
        [one["due"] for one in counts],
        width,
        name,
        words,
    )


def lateness(reports: Sequence[Report], width: float, name: str, words: str) -> str:
    """How many were sent how late: a histogram whose ranges grow."""
    first = reports[0].lateness.ranges
    last = max(
        (place for report in reports for place, one in enumerate(report.lateness.ranges) if one.sent),
        default=0,
    )
    shown = range(max(last + 1, 4) if last + 1 < len(first) else len(first))
    return _bars_of(
        [range_of(first[place]) for place in shown],
        [[report.lateness.ranges[place].sent for place in shown] for report in reports],
        [report.total.outcomes.sent for report in reports],
        width,
        name,
        words,
    )


def _bars_of(
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    wholes: Sequence[int],
    width: float,
    name: str,
    words: str,
) -> str:
    """Bars that lie, with their count and share beside them. Of two series, the bars are as long as the shares."""
    share = len(counts) > 1
    thick = 0.38 if share else 0.62

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        longest = 0.0
        for series, (values, whole) in enumerate(zip(counts, wholes, strict=True)):
            lengths = [100 * value / max(whole, 1) if share else value for value in values]
            longest = max(longest, *lengths)
            places = [place + (series - 0.5) * 0.42 if share else place for place in range(len(labels))]
            colour = COLOURS[SERIES[series] if share else "sent"]
            colours = [
                COLOURS["due"] if not share and label == STAGES[0].words else colour for label in labels
            ]
            axes.barh(places, lengths, height=thick, color=colours)
            for place, value, length in zip(places, values, lengths, strict=True):
                of_all = percent(value, whole)
                words = f"{value:,} · {of_all}" if of_all else f"{value:,}"
                axes.annotate(
                    words,
                    (length, place),
                    xytext=(5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=FONT - 1,
                    color=COLOURS["ink"],
                )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.45, -0.55)
        # Room for the numbers beside the longest bar.
        axes.set_xlim(0, max(longest, 1) * (1.42 if width > 500 else 1.75))
        axes.set_xticks([])
        tidy(axes, grid="x")
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.spines["left"].set_visible(True)

    row = 34 if share else 27
    return drawn(draw, width=width, height=max(row * len(labels) + 14, 150), name=name, words=words)


def devices(report: Report, width: float, name: str, words: str) -> str:
    """A bar for each device, of its messages by outcome."""
    shown, _ = largest_lines(report.devices, MOST_DEVICES)
    most = max(one.messages for one in shown)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        lefts = [0] * len(shown)
        for outcome in OUTCOMES:
            values = [outcome_counts(one.outcomes)[outcome.name] for one in shown]
            if any(values):
                axes.barh(
                    range(len(shown)),
                    values,
                    left=lefts,
                    height=0.66,
                    color=COLOURS[outcome.name],
                    edgecolor=COLOURS["paper"],
                    linewidth=0.75,
                )
                lefts = [left + value for left, value in zip(lefts, values, strict=True)]
        for place, one in enumerate(shown):
            axes.annotate(
                f"{one.messages:,}",
                (one.messages, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT - 1,
                color=COLOURS["ink"],
            )
        axes.set_yticks(range(len(shown)), [_short(one.name, width) for one in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        _count_axis(axes, "x", most)
        axes.set_xlim(0, max(most, 1) * (1.12 if width > 500 else 1.22))
        axes.set_xlabel("messages")
        tidy(axes, grid="x")
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])

    return drawn(draw, width=width, height=22 * len(shown) + 60, name=name, words=words)


def steps(lines: Sequence[Figures], width: float, name: str, words: str) -> str:
    """A row for each line, and in it a bar for each stage. All bars are of one scale."""
    shown, _ = largest_lines(lines, MOST_LINES)
    most = max(*(max(stage_counts(one).values()) for one in shown), 1)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(STAGES), sharey=True, gridspec_kw={"wspace": 0})
        for panel, stage in zip(panels, STAGES, strict=True):
            values = [stage_counts(one)[stage.name] for one in shown]
            colour = COLOURS["due" if stage.name == "due" else "sent"]
            panel.barh(range(len(shown)), values, height=0.34, color=colour)
            for place, value in enumerate(values):
                panel.annotate(
                    f"{value:,}",
                    (0, place),
                    xytext=(1, 12),
                    textcoords="offset points",
                    va="center",
                    fontsize=FONT - 1,
                    color=COLOURS["ink"],
                )
            panel.set_xlim(0, most * 1.12)
            panel.set_xticks([])
            panel.set_title(
                stage.words.removeprefix("people who "),
                fontsize=FONT if width > 500 else FONT - 2.5,
                loc="left",
                color=COLOURS["muted"],
            )
            for spine in panel.spines.values():
                spine.set_visible(False)
            panel.spines["left"].set_visible(True)
            panel.tick_params(length=0)
        panels[0].set_yticks(
            range(len(shown)),
            [_short(f"{one.name} (removed)" if one.removed else one.name, width) for one in shown],
        )
        panels[0].tick_params(axis="y", labelcolor=COLOURS["ink"])
        panels[0].set_ylim(len(shown) - 0.5, -0.75)

    return drawn(draw, width=width, height=36 * len(shown) + 44, name=name, words=words)


def hours(reports: Sequence[Report], width: float, name: str, words: str) -> str:
    """Two small plots below each other: people by the hour of their first reply, and of their opt-out."""
    share = len(reports) > 1
    zones = sorted({report.time_zone for report in reports})
    of_zone = zones[0] if len(zones) == 1 else "each in its own time zone"

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(2, 1, sharex=True)
        for panel, of, colour in zip(panels, ("replied", "opted_out"), ("sent", "failed"), strict=True):
            tallest = 0.0
            for series, report in enumerate(reports):
                whole = max(report.total.outcomes.sent, 1)
                values = [getattr(one, of) for one in report.hours]
                heights = [100 * value / whole if share else value for value in values]
                tallest = max(tallest, *heights)
                places = [hour + (series - 0.5) * 0.42 if share else hour for hour in range(24)]
                panel.bar(
                    places,
                    heights,
                    width=0.4 if share else 0.78,
                    color=COLOURS[SERIES[series] if share else colour],
                )
            tidy(panel)
            if share:
                _share_axis(panel, tallest)
            else:
                _count_axis(panel, "y", tallest)
            panel.set_ylabel("replied" if of == "replied" else "opted out")
            panel.set_xlim(-0.6, 23.6)
        ticks = range(0, 24, 3 if width > 500 else 6)
        panels[1].set_xticks(ticks, [f"{hour:02}:00" for hour in ticks])
        panels[1].set_xlabel(f"hour of the day, {of_zone}")

    return drawn(draw, width=width, height=_PLOT, name=name, words=words)


def _share_axis(axes: "Axes", most: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_ylim(0, max(most * 1.08, 0.1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g} %"))
