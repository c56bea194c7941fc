"""How 'inbox' is asked and how it answers: since when, which page, and several at a time."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from cli.inbox import _format_examples, _format_page
from cli.values import read_since
from messaging.replies.inbox import InboundReport, InboxPage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(identifier: int, **others: object) -> InboundReport:
    fields = {
        **dict.fromkeys(("name", "payload", "media_id", "reviewed_at", "answers")),
        "id": identifier,
        "phone": "+12015550123",
        "identities": (),
        "device": "kl-1",
        "kind": "text",
        "text": "Is it red?",
        "from_me": False,
        "meaning": "none",
        "to_review": "answer",
        "sent_at": NOON,
        "known_at": NOON,
        **others,
    }
    return InboundReport.model_validate(fields)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2035-11-23", datetime(2035, 11, 23, tzinfo=UTC)),
        ("2035-11-23 10:00", datetime(2035, 11, 23, 10, tzinfo=UTC)),
        ("2035-11-23T10:00+08:00", datetime(2035, 11, 23, 2, tzinfo=UTC)),
    ],
)
def test_since_a_moment(text: str, moment: datetime) -> None:
    assert read_since(text) == moment


@pytest.mark.parametrize(("text", "ago"), [("2d", timedelta(days=2)), ("1h30m", timedelta(minutes=90))])
def test_since_so_long_ago(text: str, ago: timedelta) -> None:
    assert abs(datetime.now(UTC) - ago - read_since(text)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["yesterday", "", "2035-13-01", "-1d"])
def test_since_what_is_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is no moment: write how long ago, e.g. 2d"):
        read_since(text)


@pytest.mark.parametrize("columns", ["", "80"])
def test_a_page_says_what_each_did_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    messages = (
        message(9, did=("paused intro",), counts_for=("intro / hello", "campaign sale"), name="Aisha"),
        message(8, answers="campaign sale", text=None, kind="image"),
    )
    assert _format_page(InboxPage(total=40, newest=9, more=True, messages=messages), None).split("\n") == [
        "Times are UTC. 'inbox done ID' takes one out.",
        "9  2026-03-01 12:00:00  +12015550123 (Aisha)  to kl-1  an answer",
        "    Is it red?",
        "    → after intro / hello, campaign sale; paused intro",
        "8  2026-03-01 12:00:00  +12015550123  to kl-1  an answer",
        "    (image)",
        "    → in answer to campaign sale",
        "40 messages in all; add --before 8 for the next ones",
    ]
    assert _format_page(InboxPage(total=0, newest=0, more=False, messages=()), None) == "Nothing to look at."
    assert (
        _format_page(InboxPage(total=2, newest=9, more=False, messages=()), 8) == "Nothing more to look at."
    )


def test_examples_are_shown_before_many_are_done() -> None:
    assert _format_examples(InboxPage(total=1200, newest=9, more=True, messages=(message(9),))) == [
        "1,200 messages in the inbox, for example:",
        "  9 +12015550123 Is it red?",
    ]
