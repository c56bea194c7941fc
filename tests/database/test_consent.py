"""Consent: how it is given and taken back, and what is not sent without it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign, forecast_campaign
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Pool
from messaging.common.errors import Conflict
from messaging.leads.consent import Consent, ConsentSource
from messaging.leads.csv_export import export_file
from messaging.leads.csv_import import import_file
from messaging.leads.lead import Lead
from messaging.leads.store import upsert_lead
from messaging.reporting.contact import contact_report
from messaging.sending.claim_answers import Claim, SettledAlready
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sequences.apply import apply_sequences
from messaging.sequences.contacts import find_standing
from messaging.sequences.contract import EnrollmentRequest, NotEnrolled, SweepCursor, SweepTotals
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from messaging.sequences.triggers import due_enrollments
from rig.people import phone
from tests.support.contact import SEQUENCE, Contact
from tests.support.lead_tables import write
from tests.support.scenario import Scenario

PHONE = phone(1)
DAY = datetime(2025, 6, 1, tzinfo=UTC)


def given(source: ConsentSource = "import", note: str | None = None, *, day: int | None = None) -> Consent:
    """On that day; None: without a date."""
    return Consent(note=note, source=source, at=None if day is None else DAY + timedelta(days=day))


def taken_back(*, day: int | None = None) -> Consent:
    return Consent(given=False, source="import", at=None if day is None else DAY + timedelta(days=day))


async def say(pool: Pool, *said: Consent | None) -> dict[str, Any]:
    """The lead's consent after all of this; days instead of times, 'now' for now."""
    for consent in said:
        async with pool.acquire() as connection:
            await upsert_lead(connection, Lead(phone=PHONE, consent=consent))
    row = await pool.fetchrow("select * from leads where phone = $1", PHONE)
    assert row is not None
    return {name: _day(row[f"consent_{name}"]) for name in ("at", "source", "note", "withdrawn_at")}


def _day(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    return "now" if datetime.now(UTC) - value < timedelta(minutes=5) else (value - DAY).days


def consent(
    at: object, source: str | None, note: str | None = None, withdrawn_at: object = None
) -> dict[str, Any]:
    return {"at": at, "source": source, "note": note, "withdrawn_at": withdrawn_at}


NOTHING = consent(None, None)


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ([None], NOTHING),
        ([given()], consent("now", "import")),
        ([given(day=1)], consent(1, "import")),
        ([given(note="form 12", day=1), given()], consent(1, "import", "form 12")),
        ([given(note="form 12", day=1), None], consent(1, "import", "form 12")),
        ([given(day=1), given(note="form 12")], consent(1, "import", "form 12")),
        ([given(note="form 12", day=1), given(note="form 13")], consent("now", "import", "form 13")),
        ([given(note="form 12", day=1), given(note="form 13", day=2)], consent(2, "import", "form 13")),
        ([given(note="form 12", day=1), given("inbound", "wrote to us", day=2)], consent(1, "import", "form 12")),
        ([given("inbound", "wrote to us", day=2)], consent(2, "inbound", "wrote to us")),
        ([given(day=1), given("enrollment", "form 12")], consent(1, "enrollment", "form 12")),
        # Taken back.
        ([taken_back()], NOTHING),
        ([given(day=1), taken_back()], consent(None, "import", None, "now")),
        ([given(note="form 12", day=1), taken_back(day=2)], consent(None, "import", None, 2)),
        ([given(day=2), taken_back(day=1)], consent(2, "import")),
        ([taken_back(day=2), given(day=1)], consent(None, "import", None, 2)),
        ([given(day=1), taken_back(day=2), given(day=1)], consent(None, "import", None, 2)),
        ([given(day=1), taken_back(day=2), given()], consent(None, "import", None, 2)),
        ([given(day=1), taken_back(day=2), taken_back()], consent(None, "import", None, 2)),
        ([given(day=1), taken_back(day=2), given("inbound", "wrote", day=1)], consent(None, "import", None, 2)),
        # And given anew.
        ([given(day=1), taken_back(day=2), given(day=3)], consent(3, "import")),
        ([given(day=1), taken_back(day=2), given("inbound", "wrote", day=3)], consent(3, "inbound", "wrote")),
        ([given(day=1), taken_back(day=2), given("enrollment", "form")], consent("now", "enrollment", "form")),
    ],
)  # fmt: skip
async def test_what_counts(pool: Pool, said: list[Consent | None], after: dict[str, Any]) -> None:
    assert await say(pool, *said) == after
    version = await pool.fetchval("select xmin::text from leads")
    last = said[-1]
    if last is None or last.source != "enrollment" or last.note:
        assert await say(pool, last) == after
        assert await pool.fetchval("select xmin::text from leads") == version, "said again, it writes nothing"


async def test_a_file_says_it_and_an_export_says_it_again(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv",
        "phone,Persetujuan,Consent date,city",
        f"{phone(0)},signed form 12,2025-06-02,Ipoh",
        f"{phone(1)},ya,,Ipoh",
        f"{phone(2)},,2025-06-02,Ipoh",
        f"{phone(3)},,,Ipoh",
        f"{phone(4)},tidak,,Ipoh",
        f"{phone(5)},not sure,,Ipoh",
    )
    summary = await import_file(pool, file)
    assert summary.columns["consent"] == ("Persetujuan",)
    assert summary.columns["consent_at"] == ("Consent date",)
    assert summary.attributes == ("city",)
    assert [one.row for one in summary.first_rejected] == [6]
    assert "may be a no" in summary.first_rejected[0].reason
    select = "select phone, consent_at, consent_source, consent_note, consent_withdrawn_at from leads order by phone"
    stored = [tuple(row) for row in await pool.fetch(select)]
    day = datetime(2025, 6, 2, tzinfo=UTC)
    assert [row[1] is not None for row in stored] == [True, True, True, False, False]
    assert (stored[0][1:4], stored[2][1]) == ((day, "import", "signed form 12"), day)
    assert (await import_file(pool, file)).unchanged == 5
    assert [tuple(row) for row in await pool.fetch(select)] == stored
    withdrawn = write(
        tmp_path / "w.csv",
        "phone,consent",
        f"{phone(0)},no",
        f"{phone(1)},",
        f"{phone(2)},yes",
        f"{phone(3)},",
    )
    taken = await import_file(pool, withdrawn)
    assert taken.updated == 1, "an empty cell takes nothing back"
    [note] = [note for note in taken.notes if note.kind == "no_consent"]
    assert (note.count, note.examples) == (1, (f"{phone(0)}: its consent is taken back",))
    [note] = (await import_file(pool, withdrawn)).notes
    assert note.examples == (f"{phone(0)}: there is none to take back",)
    again = await import_file(pool, file)
    [note] = [note for note in again.notes if note.kind == "consent_withdrawn"]
    assert note.count == 1
    assert note.text.startswith(
        "1 known lead: a consent that was taken back, which only a later consent_at gives"
    )
    assert note.examples[0].startswith(f"{phone(0)}: taken back on ")
    before = [tuple(row) for row in await pool.fetch(select)]
    assert before[0][1] is None
    await export_file(pool, tmp_path / "out.csv")
    assert (await import_file(pool, tmp_path / "out.csv")).updated == 0
    await pool.execute("update leads set consent_source = 'inbound' where consent_source is not null")
    before = [tuple(row) for row in await pool.fetch(select)]
    await export_file(pool, tmp_path / "out.csv")
    await pool.execute("delete from leads")
    await import_file(pool, tmp_path / "out.csv")
    assert [tuple(row) for row in await pool.fetch(select)] == before


async def test_of_several_rows_of_a_phone_the_last_that_says_it_counts(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv",
        "phone,name,consent,consent_at",
        f"{PHONE},A,form 1,2025-06-02",
        f"{PHONE},A,form 2,2025-06-03",
        f"{PHONE},A,,",
    )
    summary = await import_file(pool, file)
    assert await say(pool, None) == consent(2, "import", "form 2")
    [note] = [note for note in summary.notes if note.kind == "joined_rows"]
    assert "consent 'form 2' counts, not 'form 1'" in note.examples[0]


REQUIRED = "target: {status: all}\nrequire_consent: true"


async def test_a_campaign_that_requires_it_leaves_the_others_out_and_counts_them(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(4)
    pool = scenario.pool
    sale = f"campaign: sale\n{REQUIRED}\nscheduled_at: 2035-01-01 10:00\ntimezone: UTC\ntext: Hello\n"
    await scenario.apply_campaign(sale)
    await pool.execute("insert into suppressions (phone) values ($1)", phone(3))
    async with pool.acquire() as connection:
        with pytest.raises(
            Conflict, match=r"4 leads match its target, of them 1 opted out, 3 have not consented"
        ):
            await begin_campaign(connection, "sale", start_now=True)
        await pool.execute(
            "update leads set consent_at = now(), consent_source = 'import' where phone = $1", phone(1)
        )
        started = await begin_campaign(connection, "sale", start_now=False)
        forecast = await forecast_campaign(connection, "sale")
        assert forecast is not None
        assert (forecast.leads, forecast.without_consent) == (1, 2)
        assert forecast.lines[0] == "2 leads of its target have not consented, and would be left out now"
        frozen = await freeze_audience(connection, started.state.campaign_id, now=None)
        assert (frozen.leads, frozen.opted_out, frozen.without_consent, frozen.without_device) == (1, 1, 2, 0)
        [summary] = await list_campaigns(connection, "sale")
    assert (summary.require_consent, summary.without_consent, summary.messages.total) == (True, 2, 1)
    assert [row["recipient_phone"] for row in await scenario.messages()] == [phone(1)]


async def test_a_message_of_a_campaign_is_not_sent_once_consent_is_taken_back(scenario: Scenario) -> None:
    await scenario.add_device()
    pool = scenario.pool
    await say(pool, given())
    for name, head in (("sale", REQUIRED), ("other", "target: {status: all}")):
        await scenario.apply_campaign(f"campaign: {name}\n{head}\ntext: Hello\n")
        async with pool.acquire() as connection:
            started = await begin_campaign(connection, name, start_now=True)
            await freeze_audience(connection, started.state.campaign_id, now=None)
    await say(pool, taken_back())
    answers = {}
    for row in await pool.fetch(
        "select b.id, k.name from broadcast_messages b join campaigns k on k.id = b.campaign_id"
    ):
        answers[row["name"]] = await Ledger(pool).claim_stored(message_id=row["id"], token="one", now=None)
    assert answers["sale"] == SettledAlready(
        outcome="settled",
        status=MessageStatus.CANCELLED,
        reason="the recipient has not consented, or not any more",
        sent_at=None,
    )
    assert isinstance(answers["other"], Claim)


async def test_a_step_is_not_sent_once_consent_is_taken_back(contact: Contact) -> None:
    pool = contact.scenario.pool
    required = f"{SEQUENCE.strip()}\nrequire_consent: true\n"
    async with pool.acquire() as connection:
        [applied] = await apply_sequences(connection, [read_sequence(required, "welcome.yaml")])
    assert applied.warnings == (
        "welcome.yaml:9: require_consent: warning: 1 contact under way has not consented, and what would come next is cancelled",
    )
    await say(pool, given(), taken_back())
    contact.due = await contact.activities.replan(contact.ref().enrollment_id)
    await contact.send()
    message = await contact.message()
    assert (message["status"], message["reason"]) == (
        "cancelled",
        "the recipient has not consented, or not any more",
    )
    assert await contact.scenario.accepted() == []


STORY = """
sequence: story
trigger: STORY
require_consent: true
steps:
  - {id: one, day: 1, text: "One"}
"""


async def enroll(pool: Pool, lead: Lead) -> object:
    request = EnrollmentRequest(sequence="story", lead=lead)
    return await Enrollments(pool).enroll(request, workflow_id="w", run_id="r", now=None)


async def test_a_sequence_that_requires_it_enrolls_no_others(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(STORY)
    pool = scenario.pool
    why = "the sequence requires consent, and the lead has not given it, or has taken it back"
    refused = NotEnrolled(because="without_consent", reason=why)
    assert await enroll(pool, Lead(phone=PHONE, name="Aisha")) == refused
    assert await pool.fetchval("select count(*) from leads") == 0, "nothing was stored"
    async with pool.acquire() as connection:
        assert (await find_standing(connection, "story", PHONE)).without_consent
    await say(pool, given(day=1), taken_back(day=2))
    assert await enroll(pool, Lead(phone=PHONE, consent=given(day=1))) == refused, (
        "an older one does not count"
    )
    stated = Lead(phone=PHONE, consent=given("enrollment", "form 12"))
    assert getattr(await enroll(pool, stated), "kind") == "enrolled"  # noqa: B009
    async with pool.acquire() as connection:
        assert not (await find_standing(connection, "story", PHONE)).without_consent
    report = await contact_report(pool, PHONE, PHONE)
    assert (report.consent_source, report.consent_note) == ("enrollment", "form 12")


async def test_the_sweep_leaves_them_out_and_counts_them(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(STORY)
    await scenario.add_leads(4)
    pool = scenario.pool
    await pool.execute("update leads set triggers = '{STORY}'")
    await say(pool, given())
    await pool.execute("insert into suppressions (phone) values ($1)", phone(3))
    due = await due_enrollments(pool, SweepCursor())
    assert [one.lead.phone for one in due.requests] == [PHONE]
    assert due.left_out == SweepTotals(opted_out=1, without_consent=2)
    assert due.next is None
    report = await contact_report(pool, phone(0), phone(0))
    assert report.not_enrolled == (
        "Never enrolled in a sequence: story, whose trigger the lead bears, requires consent, and the lead has not given it."
    )
