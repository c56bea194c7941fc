"""What people read: as wide as there is room, reasons whole, rows in one line, one time zone."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from cli import page
from cli.contact_page import contact_page
from cli.inbound import inbound_lines
from cli.page import Column, Table, one_line, shortened, wrapped
from cli.reports import audit_page, status_page
from messaging.leads.csv_rejects import RejectedLead
from messaging.replies.inbox import InboundReport
from messaging.reporting.audit import Totals
from messaging.reporting.contact import ContactReport, EnrollmentReport, OptOutReport
from messaging.reporting.messages import MessageReport
from messaging.reporting.status import CampaignTotals, SequenceTotals, StatusReport
from operations.audit import AuditReport, Check

REASON = "the gateway refused it: " + "the account is restricted, as too many people have blocked it " * 4
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)


def table() -> Table:
    made = Table(
        (
            Column("name"),
            Column("state", spare=True),
            Column("count", right=True),
            Column("empty"),
            Column("text", least=12),
        )
    )
    made.row("black-friday", "active", 12, None, "x" * 100)
    made.row("b", "paused", 1234, "", "two\nlines\x1b[31m", below=["  why: " + "y" * 100])
    return made


def test_a_table_fits_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert str(table()).split("\n") == [
        "name          state   count  text",
        "black-friday  active     12  " + "x" * 30 + "…",
        "b             paused   1234  two lines [31m",
        "  why: " + "y" * 100,
    ]


def test_where_there_is_no_room_the_least_important_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert str(table()).split("\n")[:2] == [
        "name          count  text",
        "black-friday     12  " + "x" * 18 + "…",
    ]


def test_a_folded_column_goes_on_below_and_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    made = Table((Column("part"), Column("which", least=10, fold=True), Column("n", right=True)))
    made.row("no-device", "have no device to be written from, and " + "z" * 30, 7, below=["  below"])
    assert str(made).split("\n") == [
        "part       which                       n",
        "no-device  have no device to be        7",
        "           written from, and",
        "           " + "z" * 26,
        "           zzzz",
        "  below",
    ]


@pytest.mark.usefixtures("piped")
def test_what_is_no_terminal_has_no_limit() -> None:
    assert page.page_width() is None
    assert "x" * 100 in str(table())
    assert wrapped(REASON) == [REASON.strip()]


def test_columns_holds_for_what_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    assert page.page_width() == 132
    monkeypatch.setenv("COLUMNS", "3")
    assert page.page_width() == 40


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("ab cdef", 4, "ab…"),
        ("漢字かな", 8, "漢字かな"),
        ("漢字かな", 6, "漢字…"),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
        ("👨\u200d👩\u200d👧 we come", 9, "👨\u200d👩\u200d👧 we co…"),
        ("👨\u200d👩\u200d👧👨\u200d👩\u200d👧", 3, "👨\u200d👩\u200d👧…"),
        ("👍🏽👍🏽", 4, "👍🏽👍🏽"),
        ("❤️❤️", 4, "❤️❤️"),
        ("🇲🇾🇲🇾🇲🇾", 5, "🇲🇾🇲🇾…"),
        ("لا شكرا", 7, "لا شكرا"),
        ("สวัสดี", 4, "สวัสดี"),
    ],
)
def test_shortened_by_what_a_terminal_shows(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short


def test_texts_of_all_scripts_are_wrapped_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    chinese = "早安今天的特别优惠在等您" * 6
    lines = wrapped(chinese, "    ")
    assert [len(line) for line in lines] == [4 + 28, 4 + 28, 4 + 16], (
        "28 signs of two columns and an indent of four"
    )
    assert "".join(line.strip() for line in lines) == chinese
    families = "👨\u200d👩\u200d👧" * 40
    assert "".join(wrapped(families)) == families, "no line breaks within a family"
    assert all(line.startswith("👨") for line in wrapped(families))
    arabic = " ".join(["مرحبا، هل ما زلت مهتمًا بالعرض؟"] * 4)
    lines = wrapped(arabic)
    assert len(lines) == 3
    assert " ".join(lines) == arabic
    address = "https://example.com/" + "a" * 80
    assert wrapped(f"see {address}") == ["see", address], "it can be copied"
    assert wrapped("") == []


def test_joiners_of_scripts_and_emoji_stay_in_a_line() -> None:
    joined = "\u0645\u06cc\u200c\u062e 👨\u200d👧"
    assert one_line(joined) == joined


def test_a_line_is_a_line() -> None:
    assert one_line(" a\r\n\tb\x1b]0;title\x07\u202ec ") == "a b ]0;title c"


def contact(**fields: object) -> ContactReport:
    return ContactReport.model_validate(
        {
            "phone": "+12015550123",
            "name": "Aisha",
            "niches": ("VITAC",),
            "triggers": (),
            "target_status": "prospect",
            "device": "kl-1",
            "time_zone": "America/New_York",
            "zone": "America/New_York",
            "attributes": {},
            "not_enrolled": None,
            "rejected": (),
            "enrollments": (),
            "messages": (),
            **fields,
        }
    )


def message(**fields: object) -> MessageReport:
    return MessageReport.model_validate(
        {
            "id": uuid4(),
            "phone": "+12015550123",
            "what": "cold-vitac / welcome",
            "status": "sent",
            "due_at": NOON,
            "goes_out_at": None,
            "sent_at": NOON,
            "device": "kl-1",
            "reason": None,
            "text": "Hi",
            **fields,
        }
    )


ENROLLED = EnrollmentReport.model_validate(
    {
        "sequence": "cold-vitac",
        "status": "active",
        "reason": REASON,
        "paused_at": None,
        "paused_reason": None,
        "enrolled_at": NOON,
        "ended_at": None,
        "next_step": "story",
        "due_at": datetime(2026, 3, 2, 15, tzinfo=UTC),
        "zone": "Asia/Kuala_Lumpur",
        "workflow_id": "sequence:cold-vitac:+12015550123",
    }
)


@pytest.mark.parametrize("columns", ["80", "200", ""])
def test_a_contact_is_shown_with_whole_reasons_in_one_zone(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    waits = message(
        status="queued", sent_at=None, text=None, reason=REASON, goes_out_at=NOON.replace(hour=14)
    )
    shown = contact_page(
        contact(
            enrollments=(ENROLLED,),
            messages=(message(text="long " * 100), waits),
            rejected=(
                RejectedLead(
                    phone=None, written="12", file="leads.csv", row=7, reason=REASON, rejected_at=NOON
                ),
            ),
        )
    )
    assert " ".join(shown.split()).count(" ".join(REASON.split())) == 3
    assert shown.count("America/New_York") == 1
    assert not re.search("UTC|Kuala", shown)
    # 12:00 UTC is seven in New York, and the message that waits goes out at nine.
    assert "2026-03-01 07:00:00" in shown
    assert "2026-03-01 09:00:00" in shown
    assert "2026-03-02 10:00:00" in shown
    assert "Row 7 below the header of leads.csv ('12') was rejected" in shown
    if columns == "80":
        assert max(map(len, shown.split("\n"))) <= 80


def answer(text: str | None, **others: object) -> InboundReport:
    """An inbound message of the contact, a minute after noon."""
    fields = {
        **dict.fromkeys(("name", "payload", "media_id", "to_review", "reviewed_at", "answers")),
        "id": 7,
        "phone": "+12015550123",
        "identities": (),
        "device": "kl-1",
        "kind": "text",
        "from_me": False,
        "meaning": "none",
        "sent_at": NOON.replace(minute=1),
        **others,
    }
    return InboundReport.model_validate({"known_at": fields["sent_at"], **fields, "text": text})


def test_a_conversation_is_shown_both_ways_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "")
    later = NOON.replace(minute=2)
    shown = contact_page(
        contact(
            opt_outs=(
                OptOutReport(
                    source="reply",
                    category="all",
                    reason="the recipient answered 'STOP'",
                    created_at=later,
                    inbound_message=17,
                ),
            ),
            messages=(message(text="One"), message(text="Two", sent_at=NOON.replace(minute=3))),
            inbound=(
                answer("Is it\nred?", kind="image"),
                answer(
                    "STOP",
                    meaning="stop",
                    sent_at=later,
                    counts_for=("cold-vitac / welcome",),
                    did=("opted out",),
                    opts_out_of="cold-vitac / welcome",
                ),
                answer("I call you", from_me=True, sent_at=NOON.replace(minute=4)),
            ),
        )
    )
    assert "→ after cold-vitac / welcome; opted out; counts as an opt-out of cold-vitac / welcome" in shown
    assert "by a reply: gets nothing more (the recipient answered 'STOP'; inbound message 17)." in shown
    places = [
        shown.rindex(words) for words in ("One", "(image) Is it red?", "STOP", "Two", "typed on the phone")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"to_review": "answer"}, "an answer"),
        ({"to_review": "answer", "meaning": "none", "asks": ("intro",)}, "an answer"),
        ({"to_review": "maybe_stop", "meaning": "maybe_stop"}, "may mean stop"),
        ({"to_review": "unmatched", "meaning": "maybe_stop"}, "may mean stop"),
        ({"to_review": None, "meaning": "stop"}, "opted out"),
        ({"to_review": "unmatched", "meaning": "stop"}, "opted out"),
        ({"to_review": None, "meaning": "stop", "kind": "preference"}, "opted out"),
        ({"to_review": "maybe_stop", "meaning": "stop"}, "opted out by an ordinary word"),
        ({"to_review": None, "meaning": "start"}, "took back an earlier stop"),
        ({"to_review": "enrolled", "meaning": "enroll"}, "enrolled"),
        ({"to_review": "not_enrolled", "meaning": "enroll"}, "not enrolled"),
        ({"to_review": None, "kind": "reaction"}, "a reaction"),
        ({"to_review": None, "kind": "preference"}, "a setting in WhatsApp"),
        ({"to_review": None, "kind": "number_changed"}, "has another number now"),
        ({"to_review": "answer", "kind": "number_changed"}, "has another number now"),
        ({"to_review": "numbers_joined", "kind": "number_changed"}, "both numbers were leads"),
        ({"to_review": None, "kind": "user_id_changed"}, "has another user ID now"),
        ({"to_review": None, "from_me": True}, "typed on the phone"),
    ],
)
def test_both_pages_say_what_a_message_is(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], what: str
) -> None:
    monkeypatch.setenv("COLUMNS", "")
    one = answer("Hello", sent_at=NOON, **fields)
    shown = contact_page(contact(inbound=(one,)))
    assert [line.split("  ")[0] for line in shown.splitlines() if "2026-03-01 07:00:00" in line] == [what]
    if one.to_review != "unmatched":
        assert inbound_lines(one)[0].endswith(f"  to kl-1  {what}")
    else:
        assert inbound_lines(one)[0].endswith("  to kl-1  no lead")


@pytest.mark.usefixtures("narrow")
def test_a_conversation_fits_eighty_columns_with_long_answers_of_any_script() -> None:
    long = "مرحبا، هل ما زلت مهتمًا بالعرض؟ " * 20 + "👨\u200d👩\u200d👧 早安今天的特别优惠在等您" * 10
    shown = contact_page(
        contact(
            messages=(message(text=long),),
            inbound=(answer(long), answer("ok", answers="cold-vitac / welcome")),
        )
    )
    lines = shown.split("\n")
    assert max(map(page._columns, lines)) <= 80
    assert "".join(long.split()) in "".join(shown.split()), "what a person wrote is shown whole"
    assert "    → in answer to cold-vitac / welcome" in lines


def test_an_answer_of_the_same_second_comes_after_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "")
    at = NOON.replace(second=5)
    shown = contact_page(
        contact(
            messages=(message(text="One", sent_at=at.replace(microsecond=700_000)),),
            inbound=(answer("Quick", sent_at=at, known_at=at.replace(microsecond=900_000)),),
        )
    )
    assert shown.index("One") < shown.index("Quick")


@pytest.mark.usefixtures("narrow")
def test_the_status_fits_eighty_columns() -> None:
    report = StatusReport(
        leads=1_000_000,
        opted_out=12_345,
        sequences=(
            SequenceTotals(
                sequence="a-sequence-with-quite-a-long-name",
                status="active",
                status_reason=None,
                active=123_456,
                paused=123_456,
                completed=123_456,
                ended_early=123_456,
                due_next=NOON,
            ),
        ),
        campaigns=(
            CampaignTotals(
                campaign="a-campaign-with-quite-a-long-name",
                status="scheduled",
                when="2026-11-27 10:00, until 2026-11-27 18:00 in each recipient's time zone",
                leads=1_000_000,
                settled=999_999,
            ),
        ),
        messages={"sent": 1_000_000, "failed": 1},
        attention=(f"7 messages failed: {REASON}",),
    )
    shown = status_page(report)
    assert max(map(len, shown.split("\n"))) <= 80
    assert " ".join(REASON.split()) in " ".join(shown.split())


@pytest.mark.usefixtures("narrow")
def test_the_audit_fits_eighty_columns_and_shows_what_is_broken_whole() -> None:
    checks = (
        Check(
            promise="no step was sent twice to a phone",
            evidence="1,000,000 messages " * 5,
            broken=(),
            count=0,
        ),
        Check(promise="every active enrollment has its workflow", evidence="none", broken=(REASON,), count=9),
    )
    totals = Totals.model_validate(dict.fromkeys(Totals.model_fields, 0))
    shown = audit_page(AuditReport(kept=False, checks=checks, totals=totals))
    assert max(map(len, shown.split("\n"))) <= 80
    assert " ".join(REASON.split()) in " ".join(shown.split())
    assert "and 8 more" in shown
    assert shown.count("1,000,000") == shown.count("messages") == 5, "evidence is never cut"
    assert "…" not in shown
    assert shown.endswith("A promise is broken.")


def test_colours_are_for_terminals_only_and_change_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Table((Column("device"), Column("paused"), Column("to go", right=True)))
    made.row("kl-1", "active", 12)
    made.row("kl-2", "paused", 3)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    plain = [str(made), *page.attention("device kl-2 is paused")]
    assert "\x1b" not in "".join(plain)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    coloured = [str(made), *page.attention("device kl-2 is paused")]
    assert coloured[0].startswith("\x1b[1mdevice  paused  to go\x1b[0m\n")
    assert "\x1b[32mactive\x1b[0m" in coloured[0]
    assert "\x1b[33mpaused\x1b[0m" in coloured[0]
    assert coloured[1] == "\x1b[33m! device kl-2 is paused\x1b[0m"
    assert [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in coloured] == plain
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as once:
            once.setenv(name, value)
            assert str(made) == plain[0]
