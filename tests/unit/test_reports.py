"""The forms of a report: what they show, that nothing in them runs or is loaded, and that they fit."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.report_page import report_page
from messaging.common.errors import InvalidInput, Unavailable
from messaging.reporting.report import canvas
from messaging.reporting.report.bins import LATENESS_EDGES, lateness_of, width_of
from messaging.reporting.report.compute import natural
from messaging.reporting.report.course import Points, course_of
from messaging.reporting.report.html import report_html, write_html
from messaging.reporting.report.model import Outcomes, Report, TimeBin
from messaging.reporting.report.rows import COLUMNS, rows, write_csv
from messaging.reporting.report.scope import week_of
from messaging.reporting.report.words import facts, format_seconds, percent
from tests.support.reports import made_up

KL = ZoneInfo("Asia/Kuala_Lumpur")
NASTY = '<img src=x onerror=alert(1)>"&$x_1$ \u202e'


@pytest.fixture(scope="module")
def page() -> str:
    """Of a sequence, whose names are of the worst."""
    report = made_up("sequence", NASTY, line=NASTY, lines=2, title=NASTY, reason=NASTY)
    device = report.devices[0].model_copy(update={"name": "<script>=1"})
    return report_html([report.model_copy(update={"devices": (device, device)})])


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_a_page_loads_and_runs_nothing(page: str) -> None:
    found = Elements(page)
    assert found.names & {"script", "link", "iframe", "img", "image", "object", "embed", "base", "a"} == set()
    for name, value in found.attributes:
        assert not name.startswith("on")
        assert name != "src"
        assert "href" not in name or value.startswith("#")
        assert name != "style" or re.search(r"url\((?!#)", value) is None
    assert "default-src 'none'" in page
    style = page[page.index("<style>") : page.index("</style>")]
    assert re.search(r"url|@import|//", style) is None
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_each_plot_has_names_of_its_own_and_the_pages_colours(page: str) -> None:
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names)) > 10
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(names)
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", plots) == []
    assert set(re.findall(r"var\(--(\w+)\)", page)) <= set(canvas.COLOURS) | {"page"}


def test_names_from_the_data_are_text_only(page: str) -> None:
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;script&gt;=1" in page
    assert "$x_1$" in page
    assert "\u202e" not in page, "it would turn what follows around"
    assert page.count("<svg") == page.count("</svg>") > 6


def test_a_name_is_no_formula() -> None:
    out = io.BytesIO()
    write_csv([made_up("week", "=1+1", line="=HYPERLINK(1)", lines=1)], out)
    read = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
    assert tuple(read[0]) == COLUMNS
    assert [row["name"] for row in read if row["section"] == "sequence"] == ["'=HYPERLINK(1)-0"]
    assert {row["report"] for row in read} == {"'=1+1"}


def test_rows_have_every_figure() -> None:
    report = made_up("sequence", lines=3, devices=2)
    read = [dict(zip(COLUMNS, row, strict=True)) for row in rows([report])][1:]

    def summed(section: str, column: str) -> int:
        return sum(int(row[column]) for row in read if row["section"] == section)

    assert summed("total", "messages") == summed("device", "messages") == report.total.messages
    assert [row["name"] for row in read if row["section"] == "step"] == ["step-0", "step-1", "step-2"]
    assert summed("time", "due") == report.total.messages
    assert summed("time", "sent") == summed("lateness", "sent") == report.total.outcomes.sent
    assert summed("hour", "replied") == report.total.replied
    assert len([row for row in read if row["section"] == "hour"]) == 24


WEEK: dict[str, Any] = {
    "since": datetime(2026, 11, 22, 16, tzinfo=UTC),
    "until": datetime(2026, 11, 29, 16, tzinfo=UTC),
}
EXAMPLES: dict[str, list[Report]] = {
    "one device": [made_up(messages=3, devices=1)],
    "many devices and lines": [made_up("week", messages=100_000, devices=41, lines=3, **WEEK)],
    "two": [
        made_up(lateness=lateness_of({seconds + 1: 3 for seconds in LATENESS_EDGES})),
        made_up(name="another-one-with-a-long-name", messages=10_000_000, devices=40),
    ],
    "one of two is empty": [made_up(), made_up(name="draft", messages=0, devices=1)],
    "long names": [made_up("sequence", "n" * 60, line="s" * 60, lines=3, title="long title " * 12)],
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_page_of_the_terminal_fits(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = report_page(EXAMPLES[example])
    assert [line for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("example", ["many devices and lines", "one of two is empty"])
def test_every_report_can_be_drawn(example: str) -> None:
    page = report_html(EXAMPLES[example])
    assert page.count('class="wide"') == page.count('class="narrow"') >= 4
    if example.startswith("many"):
        assert "The 40 with most messages; 1 more are in the table below" in page
        assert page.count("kl-40</th>") == 1


def test_what_did_not_begin_says_so() -> None:
    draft = made_up(messages=0, devices=1, lines=1)
    page = report_html([draft])
    assert "<svg" not in page
    for text in (page, report_page([draft])):
        assert "Nothing sent yet: it has not started (draft)" in text


def test_paused_devices_are_named_where_no_end_can_be_said() -> None:
    ends = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    report = made_up(status="running", held_by=("kl-8",), others_end=ends)
    assert facts(report)[1] == (
        "No end can be said while kl-8 is paused; what the other devices have ends about 2026-11-23 17:30, at their pace."
    )
    many = made_up(status="running", held_by=("kl-1", "kl-2", "kl-3", "kl-4"))
    assert facts(many)[1] == "No end can be said while kl-1, kl-2, kl-3 and 1 more device are paused."


def test_contacts_that_are_paused_are_named_among_the_active_ones() -> None:
    contacts = {"active": 1_384, "opted_out": 2}
    report = made_up(messages=10, devices=1, lines=1).model_copy(update={"contacts": contacts, "paused": 29})
    assert any(
        one.startswith("Contacts: 1,384 active (29 of them paused), 2 opted out.") for one in facts(report)
    )
    report = report.model_copy(update={"paused": 0})
    assert any(one.startswith("Contacts: 1,384 active, 2 opted out.") for one in facts(report))


def test_without_the_library_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match=r"matplotlib, which is not installed.*requirements/reports\.lock"):
        report_html([made_up()])


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write_html([made_up(messages=0)], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
    with pytest.raises(InvalidInput, match=r"none/report\.html cannot be written: No such file"):
        write_html([made_up(messages=0)], tmp_path / "none" / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("words", "name", "since"),
    [
        (None, "2026-W49", datetime(2026, 11, 29, 16, tzinfo=UTC)),
        ("last", "2026-W48", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        ("2026-W01", "2026-W01", datetime(2025, 12, 28, 16, tzinfo=UTC)),
        ("2026-11-29", "2026-W48", datetime(2026, 11, 22, 16, tzinfo=UTC)),
    ],
)
def test_weeks(words: str | None, name: str, since: datetime) -> None:
    # In Kuala Lumpur it is Tuesday already.
    now = datetime(2026, 11, 30, 22, tzinfo=UTC)
    assert week_of(words, KL, now) == (name, since, since + timedelta(days=7))


@pytest.mark.parametrize(
    "words", ["", "W48", "2026-W54", "2026-13-01", "next", "0001-01-01", "9999-12-31", "2026-W٤٨"]
)
def test_what_is_no_week(words: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no week: write 'last', a week such as 2026-W49"):
        week_of(words, KL, datetime(2026, 11, 30, 22, tzinfo=UTC))


@given(st.integers(0, 20 * 365 * 86_400))
def test_bins_are_few_and_not_too_wide(seconds: int) -> None:
    width = width_of(timedelta(seconds=seconds))
    assert 1 <= seconds // width + 1 <= 111
    assert width == 1 or seconds // width >= 15


@given(st.dictionaries(st.integers(0, 200_000), st.integers(1, 50), max_size=30))
def test_every_sent_message_is_in_one_range_of_lateness(late: dict[int, int]) -> None:
    found = lateness_of(late)
    assert sum(one.sent for one in found.ranges) == sum(late.values())
    assert [one.over for one in found.ranges] == list(LATENESS_EDGES)
    every = sorted(seconds for seconds, count in late.items() for _ in range(count))
    if every:
        assert found.median == every[(len(every) - 1) // 2]
        assert found.largest == every[-1]


@pytest.mark.parametrize(
    ("count", "whole", "words"),
    [
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (9_999_999, 10_000_000, "> 99.9 %"),
        (1, 10_000, "< 0.1 %"),
        (1, 3, "33.3 %"),
        (0, 0, ""),
    ],
)
def test_shares(count: int, whole: int, words: str) -> None:
    assert percent(count, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_661, "1 h 1 min"),
        (86_400, "1 day"),
        (200_000, "2 days 7 h"),
    ],
)
def test_lengths_of_time(seconds: int, words: str) -> None:
    assert format_seconds(seconds) == words


def test_devices_are_in_the_order_that_people_count_in() -> None:
    assert sorted(["kl-10", "a", "kl-2", "kl-2b", "10", "9"], key=natural) == [
        "9",
        "10",
        "a",
        "kl-2",
        "kl-2b",
        "kl-10",
    ]


def test_what_was_sent_is_drawn_until_now_and_what_is_expected_from_there() -> None:
    begin = datetime(2026, 11, 23, 10, tzinfo=KL)
    bins = tuple(
        TimeBin(start=begin + timedelta(minutes=n), due=10 if n % 2 == 0 else 0, sent=5 if n < 2 else 0)
        for n in range(4)
    )
    report = made_up(
        messages=20,
        status="running",
        made_at=begin + timedelta(minutes=3),
        times=bins,
        total=made_up().total.model_copy(update={"messages": 20, "outcomes": Outcomes(sent=10, queued=10)}),
        expected_end=begin + timedelta(minutes=9),
    )

    def minutes(points: Points) -> list[tuple[float, int]]:
        start = begin.replace(tzinfo=None)
        return [((moment - start) / timedelta(minutes=1), count) for moment, count in points]

    course = course_of(report)
    assert minutes(course.due) == [(0, 0), (0, 10), (1, 10), (2, 20), (3, 20), (9, 20)]
    assert minutes(course.sent) == [(0, 0), (1, 5), (2, 10), (3, 10), (3, 10)]
    assert minutes(course.expected) == [(3, 10), (9, 20)]
    assert "Expected end: about 2026-11-23 10:09, at the devices' pace." in report_page([report])
    # So far away that nothing else could be seen beside it.
    far = report.model_copy(update={"expected_end": begin + timedelta(days=9)})
    assert course_of(far).expected == []
    assert minutes(course_of(far).due)[-1] == (4, 20)
