"""A report as one page: it holds all that it shows, loads nothing, and runs nothing."""

import os
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

from messaging.common.counts import count_of
from messaging.common.errors import InvalidInput
from messaging.reporting.report import plots
from messaging.reporting.report.canvas import require_plots
from messaging.reporting.report.course import course_of
from messaging.reporting.report.model import Figures, Report
from messaging.reporting.report.theme import STYLE
from messaging.reporting.report.words import (
    OUTCOMES,
    STAGES,
    facts,
    format_seconds,
    outcome_counts,
    percent,
    printable,
    stage_counts,
    subtitle,
)

__all__ = ["report_html", "require_plots", "write_html"]

_WIDE, _NARROW = 600, 350
"""The widths that plots are drawn for, in pixels. A page shows the one that suits its own."""

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""
_FOOT = "</main>\n</body>\n</html>\n"


class _Figure(NamedTuple):
    """A plot with its title, which says what is seen, and a line below it."""

    title: str
    below: str
    legend: str
    draw: Callable[[float, str, str], str]


def report_html(reports: Sequence[Report]) -> str:
    """The page about one report, or two that are compared. Raises Unavailable without matplotlib, of the extra ``reports``."""
    require_plots()
    names = " and ".join(report.name for report in reports)
    kind = f"{reports[0].kind} report" if len(reports) == 1 else f"{reports[0].kind}s compared"
    parts = [_HEAD.format(title=_text(f"{names}: {kind}"), style=STYLE), _header(reports, kind)]
    if any(report.total.messages for report in reports):
        one = len(reports) == 1
        figures = [
            _figure(*numbered) for numbered in enumerate(_of_one(reports[0]) if one else _of_two(reports))
        ]
        parts += [_tiles(reports[0])] if one else []
        parts += ['<div class="grid">', *([] if one else [_compared(reports)]), *figures, "</div>"]
        for report in reports:
            parts += list(_tables(report, named=len(reports) > 1))
    return "\n".join([*parts, _FOOT])


def _text(text: str) -> str:
    return escape(printable(text))


def write_html(reports: Sequence[Report], target: Path | BinaryIO) -> None:
    """Writes the page to a file, which appears once it is complete, or to a stream. Raises InvalidInput if that cannot be done,
    and Unavailable without matplotlib.
    """
    page = report_html(reports).encode()
    if not isinstance(target, Path):
        target.write(page)
        target.flush()
        return
    whole = Path(os.path.realpath(target))
    part = whole.with_name(f".{uuid4().hex}.part")
    special = whole.exists() and not whole.is_file()
    try:
        if special:
            whole.write_bytes(page)
        else:
            part.write_bytes(page)
            part.replace(whole)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from error
    finally:
        if not special:
            part.unlink(missing_ok=True)


def _header(reports: Sequence[Report], kind: str) -> str:
    heads = []
    for place, report in enumerate(reports):
        swatch = _swatch(plots.SERIES[place]) if len(reports) > 1 else ""
        lines = "".join(f"<li>{_text(fact)}</li>" for fact in facts(report))
        heads.append(
            f'<div><h1>{swatch}{_text(report.name)}</h1><p class="subtitle">{_text(subtitle(report))}</p>'
            f'<ul class="facts">{lines}</ul></div>'
        )
    return f'<header><p class="kind">{_text(kind.capitalize())}</p><div class="heads">{"".join(heads)}</div></header>'


def _swatch(colour: str, line: str = "") -> str:
    """A patch of a colour, or a dashed or dotted line."""
    if line:
        return f'<span class="swatch line" style="border-top-style: {line}; border-color: var(--{colour})"></span>'
    return f'<span class="swatch" style="background: var(--{colour})"></span>'


def _legend(entries: Sequence[tuple[str, str]], lines: Sequence[tuple[str, str, str]] = ()) -> str:
    """Of colours and their words; and of lines, with how they are drawn."""
    marks = [(_swatch(colour, line), words) for colour, words, line in lines]
    marks += [(_swatch(colour), words) for colour, words in entries]
    items = "".join(f"<li>{mark}{_text(words)}</li>" for mark, words in marks)
    return f'<ul class="legend">{items}</ul>'


def _tiles(report: Report) -> str:
    total = report.total
    sent, due = total.outcomes.sent, total.due
    not_sent = total.messages - sent - total.outcomes.waiting
    tiles = [
        ("Sent", sent, f"{percent(sent, due)} of {due:,} due"),
        ("Delivered", total.delivered, _of_sent(total.delivered, sent)),
        ("Read", total.read, _of_sent(total.read, sent)),
        ("Replied", total.replied, f"{count_of(report.replies, 'reply', 'replies')}"),
        ("Opted out", total.opted_out, "people"),
        ("Not sent", not_sent, f"{total.outcomes.failed:,} failed"),
    ]
    if total.outcomes.waiting:
        tiles.append(("Waiting", total.outcomes.waiting, "to be sent"))
    cells = "".join(
        f'<div class="tile"><span>{label}</span><b>{count:,}</b><span>{_text(below)}</span></div>'
        for label, count, below in tiles
    )
    return f'<section class="tiles">{cells}</section>'


def _of_sent(count: int, sent: int) -> str:
    """The share; or that the gateway has reported nothing, which it may never do."""
    return f"{percent(count, sent)} of the sent" if count else "none reported"


def _compared(reports: Sequence[Report]) -> str:
    """The figures of two reports beside each other."""
    names = "".join(
        f'<th scope="col" colspan="2">{_swatch(plots.SERIES[place])}{_text(report.name)}</th>'
        for place, report in enumerate(reports)
    )
    rows = []

    def row(words: str, counts: Sequence[int], wholes: Sequence[int]) -> None:
        cells = "".join(
            f"<td>{count:,}</td><td>{percent(count, whole)}</td>"
            for count, whole in zip(counts, wholes, strict=True)
        )
        rows.append(f'<tr><th scope="row">{_text(words)}</th>{cells}</tr>')

    due = [report.total.due for report in reports]
    for stage in STAGES:
        row(stage.words, [stage_counts(report.total)[stage.name] for report in reports], due)
    row("people who opted out", [report.total.opted_out for report in reports], due)
    messages = [report.total.messages for report in reports]
    for outcome in OUTCOMES[1:]:
        counts = [outcome_counts(report.total.outcomes)[outcome.name] for report in reports]
        if any(counts):
            row(outcome.words, counts, messages)
    return (
        f'<div class="table compared"><table><caption>Side by side</caption><thead><tr><th></th>{names}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figure(place: int, figure: _Figure) -> str:
    words = printable(f"{figure.title}. {figure.below}")
    shown = [
        figure.draw(width, f"{size}{place}", words).replace("<svg ", f'<svg class="{size}" ', 1)
        for size, width in (("wide", _WIDE), ("narrow", _NARROW))
    ]
    # A percent sign stays with its number.
    title, below = (_text(text).replace(" %", "\u00a0%") for text in (figure.title, figure.below))
    below = f"<p>{below}</p>" if below else ""
    return f"<figure><h2>{title}</h2>{below}{figure.legend}{''.join(shown)}</figure>"


def _of_one(report: Report) -> Iterator[_Figure]:
    total = report.total
    sent = total.outcomes.sent
    yield _Figure(
        f"{sent:,} of {count_of(total.messages, 'message')} sent",
        "Summed up over time: what was due by plan, and what was sent",
        _legend(
            [("sent", "sent")],
            [
                ("due", "due", "dashed"),
                *([("sent", "expected", "dotted")] if course_of(report).expected else []),
            ],
        ),
        lambda width, name, words: plots.times([report], width, name, words),
    )
    yield _Figure(
        f"Of {total.due:,} due, {percent(sent, total.due) or '0 %'} sent"
        + (f" and {percent(total.read, total.due)} read" if total.read else ""),
        "Delivered and read as far as the gateway reports it; shares are of what was due",
        "",
        lambda width, name, words: plots.funnel([report], width, name, words),
    )
    if report.kind != "campaign" and report.lines:
        what = "step" if report.kind == "sequence" else "campaign and sequence"
        yield _Figure(
            f"From due to replied, by {what}",
            _cut(len(report.lines), plots.MOST_LINES, "One scale for all bars"),
            "",
            lambda width, name, words: plots.steps(report.lines, width, name, words),
        )
    by_device = [_devices(report, "")] if report.devices and report.kind != "device" else []
    with_steps = report.kind != "campaign" and report.lines
    if with_steps:  # a tall plot in each column
        yield from by_device
    if sent:
        yield _lateness_of(report)
    if total.replied or total.opted_out:
        yield _hours_of(report)
    if not with_steps:
        yield from by_device


def _cut(count: int, most: int, words: str) -> str:
    if count <= most:
        return words
    return f"{words}. The {most} with most messages; {count - most:,} more are in the table below"


def _devices(report: Report, of: str) -> _Figure:
    there = [one for one in OUTCOMES if outcome_counts(report.total.outcomes)[one.name]]
    return _Figure(
        f"What became of the messages of {count_of(len(report.devices), 'device')}{of}",
        _cut(len(report.devices), plots.MOST_DEVICES, "Messages by outcome"),
        _legend([(one.name, one.words) for one in there]),
        lambda width, name, words: plots.devices(report, width, name, words),
    )


def _lateness_of(report: Report) -> _Figure:
    late = report.lateness
    assert late.median is not None
    assert late.most is not None
    assert late.largest is not None
    return _Figure(
        f"Half were sent within {format_seconds(late.median)} of their due time",
        f"95 % within {format_seconds(late.most)}, the latest {format_seconds(late.largest)} after it. Sent messages by lateness",
        "",
        lambda width, name, words: plots.lateness([report], width, name, words),
    )


def _hours_of(report: Report) -> _Figure:
    busiest = max(report.hours, key=lambda one: one.replied)
    title = (
        f"Most people reply between {busiest.hour:02}:00 and {(busiest.hour + 1) % 24:02}:00"
        if busiest.replied
        else f"Nobody replied; {count_of(report.total.opted_out, 'person', 'people')} opted out"
    )
    return _Figure(
        title,
        f"People by the hour of their first reply, and of their opt-out ({report.time_zone})",
        "",
        lambda width, name, words: plots.hours([report], width, name, words),
    )


def _of_two(reports: Sequence[Report]) -> Iterator[_Figure]:
    legend = _legend([(plots.SERIES[place], report.name) for place, report in enumerate(reports)])
    yield _Figure(
        "How fast they went out",
        "Sent messages in percent of all, by the time since the first was due",
        legend,
        lambda width, name, words: plots.times(reports, width, name, words),
    )
    yield _Figure(
        "From due to replied",
        "The longer bar has the greater share of what was due",
        legend,
        lambda width, name, words: plots.funnel(reports, width, name, words),
    )
    if any(report.total.outcomes.sent for report in reports):
        yield _Figure(
            "How late messages were sent",
            "In percent of the sent messages of each",
            legend,
            lambda width, name, words: plots.lateness(reports, width, name, words),
        )
    if any(report.total.replied or report.total.opted_out for report in reports):
        yield _Figure(
            "When people reply and opt out",
            "People by hour, in percent of the sent messages of each",
            legend,
            lambda width, name, words: plots.hours(reports, width, name, words),
        )
    for report in reports:
        if report.devices:
            yield _devices(report, f" of {report.name}")


def _tables(report: Report, *, named: bool) -> Iterator[str]:
    of = f" of {report.name}" if named else ""
    if report.kind != "campaign" and report.lines:
        yield _table(
            report.lines,
            "Steps" if report.kind == "sequence" else "Campaigns and sequences",
            report.total,
        )
    if report.reasons:
        yield _reasons(report, f"Why not sent{of}")
    if report.devices:
        yield _table(report.devices, f"Devices{of}", report.total)


def _reasons(report: Report, caption: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(one.reason)}</th><td>{_text(one.outcome)}</td><td>{one.messages:,}</td></tr>'
        for one in report.reasons
    )
    return (
        f'<div class="table"><table><caption>{_text(caption)}</caption><thead><tr><th></th><th scope="col">outcome</th>'
        f'<th scope="col">messages</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _table(lines: Sequence[Figures], caption: str, total: Figures | None) -> str:
    headings = (
        "messages",
        "due",
        *(one.name for one in OUTCOMES),
        "delivered",
        "read",
        "replied",
        "opted out",
    )
    kept = [
        place
        for place in range(len(headings))
        if not 3 <= place < 2 + len(OUTCOMES) or any(_cells(one)[place] for one in lines)
    ]
    head = "".join(f'<th scope="col">{_text(headings[place])}</th>' for place in kept)
    body = "".join(_table_row(one, kept, "tr") for one in lines)
    foot = f"<tfoot>{_table_row(total, kept, 'tr', name='all')}</tfoot>" if total and len(lines) > 1 else ""
    long = " long" if len(lines) > 20 else ""
    return (
        f'<div class="table{long}"><table><caption>{_text(caption)}</caption><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def _cells(one: Figures) -> list[int]:
    return [
        one.messages,
        one.due,
        *outcome_counts(one.outcomes).values(),
        *(one.delivered, one.read, one.replied, one.opted_out),
    ]


def _table_row(one: Figures, kept: Sequence[int], tag: str, *, name: str | None = None) -> str:
    words = name or (f"{one.name} (removed)" if one.removed else one.name)
    cells = "".join(f"<td>{_cells(one)[place]:,}</td>" for place in kept)
    return f'<{tag}><th scope="row">{_text(words)}</th>{cells}</{tag}>'
