"""Enrollment by a keyword or an advertisement: in the transaction that records the message, in whatever order they come."""

import asyncio
import itertools
from datetime import timedelta

import asyncpg
import pytest

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.files.yaml import FileProblems
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import record_opt_out
from messaging.replies.inbox import InboundReport, InboxFilter, ReviewReason, count_inbox, list_inbox
from messaging.replies.record import RecordedInbound, record_inbound
from messaging.sequences.checks import check_stop_words
from messaging.sequences.contract import EnrollmentRequest, SweepCursor
from messaging.sequences.store import find_sequence
from messaging.sequences.triggers import due_enrollments
from messaging.sequences.wanted import forget_enrolled, wanted_page
from rig.people import phone
from tests.support.contact import Contact
from tests.support.replies import NOON, inbound
from tests.support.scenario import Scenario

PHONE = phone(7)
VITAC = """
sequence: vitac
keyword: [Vita C, VITAC 2]
ad: 120226305854810726
steps:
  - {id: one, day: 1, text: "One"}
"""
ASKED = EnrollmentRequest(sequence="vitac", lead=Lead(phone=PHONE, name="Aisha"))


@pytest.fixture
async def asked(scenario: Scenario) -> Scenario:
    await scenario.add_device()
    await scenario.apply(VITAC)
    return scenario


async def record(scenario: Scenario, *messages: InboundMessage) -> RecordedInbound:
    async with scenario.pool.acquire() as connection:
        return await record_inbound(connection, "simulated", scenario.device, messages, DEFAULT_KEYWORDS)


def keyword(
    text: str | None = "vitac", *, after: float = 0, number: str | None = PHONE, **others: object
) -> InboundMessage:
    return inbound(f"in-{text}-{after}", number, text, after=after, **{"name": "Aisha", **others})


async def wanted(pool: Pool) -> list[tuple[str, str]]:
    return [(one.sequence, one.lead.phone) for one in (await wanted_page(pool, 0, 100)).requests]


async def inbox(pool: Pool, *only: ReviewReason) -> tuple[InboundReport, ...]:
    return (await list_inbox(pool, InboxFilter(reasons=only))).messages


async def reviews(pool: Pool) -> list[str | None]:
    return [
        row["to_review"] for row in await pool.fetch("select to_review from inbound_messages order by id")
    ]


async def test_a_new_person_becomes_a_lead_with_consent_and_is_to_be_enrolled(asked: Scenario) -> None:
    pool = asked.pool
    message = keyword("  VITA-C!! ", after=60, name="Aisha\x07")
    recorded = await record(asked, message, message)
    request = ASKED.model_copy(update={"lead": Lead(phone=PHONE, name="Aisha ".strip())})
    assert (recorded.new, recorded.then.wanted) == (1, (request,))
    lead = await pool.fetchrow("select * from leads")
    assert lead is not None
    assert (lead["phone"], lead["name"], lead["device_id"]) == (PHONE, "Aisha", asked.device)
    assert (lead["consent_at"], lead["consent_source"]) == (NOON + timedelta(minutes=1), "inbound")
    assert lead["consent_note"] == "wrote to us: VITA-C!!"
    assert await wanted(pool) == [("vitac", PHONE)]
    page = await list_inbox(pool)
    assert (page.messages, page.total, page.enrolled, await count_inbox(pool)) == ((), 0, 0, 0)
    [listed] = await inbox(pool, "enrolled")
    assert (listed.meaning, listed.asks, listed.did) == (
        "enroll",
        ("vitac",),
        ("asks for vitac, and is enrolled next",),
    )
    await asked.enroll("vitac", PHONE)
    assert await wanted(pool) == [], "the enrollment itself takes it out"
    [listed] = await inbox(pool, "enrolled")
    assert listed.did == ("enrolled in vitac",)
    await pool.execute("update inbound_messages set sent_at = now()")
    assert (await list_inbox(pool)).enrolled == 1


async def test_at_the_same_moment_from_several_workers(asked: Scenario) -> None:
    said = [keyword(after=after) for after in (0, 1) for _ in range(5)]
    recorded = await asyncio.gather(*(record(asked, one) for one in said))
    assert sum(one.new for one in recorded) == 2
    assert await wanted(asked.pool) == [("vitac", PHONE)]
    assert await asked.pool.fetchval("select count(*) from leads") == 1


async def test_a_lead_of_another_device_keeps_its_device_its_name_and_its_consent(asked: Scenario) -> None:
    pool = asked.pool
    await asked.add_device(device="another")
    await asked.add_leads(1, first=7, device="another")
    await record(asked, keyword())
    lead = await pool.fetchrow("select * from leads")
    assert lead is not None
    assert (lead["name"], lead["device_id"], lead["consent_note"]) == (
        "Lead 7",
        "another",
        "wrote to us: vitac",
    )
    await record(asked, keyword("Vita C", after=60))
    assert await pool.fetchval("select consent_note from leads") == "wrote to us: vitac"


async def test_who_has_opted_out_stays_out(asked: Scenario) -> None:
    pool = asked.pool
    await record(asked, keyword("STOP"))
    recorded = await record(asked, keyword(after=60))
    assert recorded.then.wanted == ()
    assert await pool.fetchval("select count(*) from leads") == 0
    [listed] = [one for one in await inbox(pool) if one.asks]
    assert (listed.to_review, listed.did) == ("not_enrolled", ("asks for vitac, and has opted out",))
    await record(asked, keyword("START", after=120))
    assert await wanted(pool) == [], "START alone enrolls nobody"
    await record(asked, keyword("vita c", after=180))
    assert await wanted(pool) == [("vitac", PHONE)]


@pytest.mark.parametrize(
    ("said", "enrolled"),
    [(["STOP", "START", "vitac"], True), (["vitac", "STOP"], False), (["STOP", "vitac"], False)],
)
async def test_the_order_of_coming_does_not_matter(
    asked: Scenario, said: list[str], *, enrolled: bool
) -> None:
    messages = [keyword(text, after=60 * place) for place, text in enumerate(said)]
    for order in itertools.permutations(messages):
        await asked.pool.execute(
            "truncate inbound_messages, suppressions, identities, wanted_enrollments, leads cascade"
        )
        await record(asked, *order)
        assert await wanted(asked.pool) == ([("vitac", PHONE)] if enrolled else []), [
            one.text for one in order
        ]


async def test_a_sender_without_a_phone_is_enrolled_once_it_is_known(asked: Scenario) -> None:
    pool = asked.pool
    assert (await record(asked, keyword(number=None, identities=("lid:1",)))).then.wanted == ()
    [listed] = await inbox(pool)
    assert (listed.to_review, listed.asks, listed.phone) == ("unmatched", ("vitac",), None)
    recorded = await record(asked, keyword("Hello", after=60, identities=("lid:1",)))
    assert recorded.then.wanted == (ASKED,)
    assert await reviews(pool) == ["enrolled", "unmatched"]


@pytest.mark.parametrize("text", ["Is it still free? Please don't stop", "Hello", None])
async def test_an_advertisement(asked: Scenario, text: str | None) -> None:
    recorded = await record(
        asked, keyword(text, kind="text" if text else "image", referral={"source_id": "120226305854810726"})
    )
    assert recorded.then.wanted == (ASKED,)
    assert await reviews(asked.pool) == ["maybe_stop" if text and "stop" in text else "answer"], (
        "it may say more"
    )
    note = await asked.pool.fetchval("select consent_note from leads")
    assert note == f"wrote to us: {text or 'by the advertisement 120226305854810726'}"


@pytest.mark.parametrize(
    "message",
    [
        keyword("I want vitac"),
        keyword("👍", kind="reaction"),
        keyword("vitac", kind="reaction"),
        keyword("vitac", from_me=True),
        keyword("x" * 2000),
        keyword("Hello", referral={"source_id": "vitac"}),
        keyword("Hello", referral={"headline": "120226305854810726"}),
        keyword("scan.pdf", kind="document", payload="vitac"),
    ],
)
async def test_what_does_not_enroll(asked: Scenario, message: InboundMessage) -> None:
    assert (await record(asked, message)).then.wanted == ()
    assert await asked.pool.fetchval("select count(*) from leads") == 0


async def test_a_button_and_a_keyword_with_a_stop_word_in_it(asked: Scenario) -> None:
    await asked.apply("sequence: quit\nkeyword: Stop smoking\nsteps: [{id: one, day: 1, text: Well done}]\n")
    recorded = await record(
        asked, keyword("More", kind="button", payload="vita_c"), keyword("stop SMOKING!", number=phone(8))
    )
    assert [(one.sequence, one.lead.phone) for one in recorded.then.wanted] == [
        ("vitac", PHONE),
        ("quit", phone(8)),
    ]
    assert await reviews(asked.pool) == ["enrolled", "enrolled"]


async def test_once_for_each_person(asked: Scenario) -> None:
    pool = asked.pool
    await record(asked, keyword())
    await asked.enroll("vitac", PHONE)
    assert (await record(asked, keyword(after=60))).then.wanted == ()
    await pool.execute(
        "update sequence_contacts set status = 'completed', ended_at = now(), next_step_id = null"
    )
    assert (await record(asked, keyword(after=120))).then.wanted == ()
    assert await reviews(pool) == ["enrolled", "enrolled", "not_enrolled"]
    [listed] = await inbox(pool)
    assert listed.did == ("asks for vitac, and was there before",)


async def test_consent_that_was_taken_back_later_is_not_given_by_it(asked: Scenario) -> None:
    await asked.apply(VITAC.replace("steps:", "require_consent: true\nsteps:"))
    pool = asked.pool
    await asked.add_leads(2, first=7)
    await pool.execute("update leads set consent_withdrawn_at = $1", NOON + timedelta(minutes=1))
    assert (await record(asked, keyword())).then.wanted == ()
    assert await reviews(pool) == ["not_enrolled"]
    assert (await record(asked, keyword(after=120))).then.wanted != ()
    assert await wanted(pool) == [("vitac", PHONE)]


async def test_an_opt_out_takes_back_what_is_wanted(asked: Scenario) -> None:
    await record(asked, keyword())
    async with asked.pool.acquire() as connection:
        await record_opt_out(connection, PHONE, "by telephone")
    assert await wanted(asked.pool) == []


async def test_the_sweep_finds_what_is_wanted_before_the_leads_with_triggers(asked: Scenario) -> None:
    pool = asked.pool
    await asked.apply("sequence: story\ntrigger: STORY\nsteps: [{id: one, day: 1, text: One}]\n")
    await asked.add_leads(3)
    await pool.execute("update leads set triggers = '{STORY}'")
    await record(asked, *(keyword(number=phone(10 + index), after=index) for index in range(5)))
    found, cursor, pages = [], SweepCursor(), 0
    while cursor is not None:
        due = await due_enrollments(pool, cursor, size=2)
        found += [(one.sequence, one.lead.phone) for one in due.requests]
        cursor, pages = due.next, pages + 1  # type: ignore[assignment]
    assert found == [
        *(("vitac", phone(10 + index)) for index in range(5)),
        *(("story", phone(index)) for index in range(3)),
    ]
    assert pages == 4
    by_trigger = await due_enrollments(pool, SweepCursor(trigger="STORY"))
    assert [one.sequence for one in by_trigger.requests] == ["story"] * 3
    await asked.enroll("vitac", phone(10))
    await pool.execute(
        "insert into wanted_enrollments (sequence_id, phone, inbound_message_id)"
        " select id, $1, 1 from sequences where name = 'vitac'",
        phone(10),
    )
    await forget_enrolled(pool)
    assert await wanted(pool) == [("vitac", phone(10 + index)) for index in range(1, 5)]


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ("", ("active", None)),
        ("on_reply: stop\n", ("active", None)),
        ("on_reply: [{when: [Vita C], do: stop}]\n", ("stopped", None)),
        ("on_reply: [{when: [vitac], do: pause}, {do: stop}]\n", ("active", 'answered: "VitaC"')),
    ],
)
async def test_a_keyword_is_no_answer_unless_a_rule_names_it(
    contact: Contact, rules: str, state: tuple[str, str | None]
) -> None:
    scenario = contact.scenario
    await scenario.apply(VITAC)
    if rules:
        await scenario.apply(
            f"sequence: welcome\n{rules}steps:\n  - {{id: hello, day: 1, text: Hi}}\n  - {{id: more, after: 1h, text: More}}\n"
        )
        contact.due = await contact.activities.replan(contact.ref().enrollment_id)
    await contact.send()
    await scenario.pool.execute("update broadcast_messages set sent_at = $1, accepted_at = $1", NOON)
    recorded = await record(scenario, keyword("VitaC", after=60, number=contact.phone))
    assert [one.sequence for one in recorded.then.wanted] == ["vitac"]
    row = await scenario.pool.fetchrow("select status, paused_reason from sequence_contacts")
    assert row is not None
    assert (row["status"], row["paused_reason"]) == state


async def refused(scenario: Scenario, *fields: str) -> str:
    with pytest.raises(FileProblems) as raised:
        await scenario.apply(
            "".join(
                f"{field}\n" for field in ("sequence: other", *fields, "steps: [{id: a, day: 1, text: x}]")
            )
        )
    return str(raised.value)


async def test_apply_refuses_keywords_that_are_taken_or_mean_something_else(asked: Scenario) -> None:
    assert await refused(asked, "keyword: V.I.T.A.C") == (
        "test.yaml:2: keyword: 'vitac' is a keyword of sequence 'vitac'"
    )
    assert await refused(asked, "ad: [1, 120226305854810726]") == (
        "test.yaml:2: ad[1]: '120226305854810726' is an advertisement of sequence 'vitac'"
    )
    assert await refused(asked, "keyword: [Info, ínfo]") == (
        "test.yaml:2: keyword[1]: 'info' is in test.yaml too, give each its own"
    )
    assert await refused(asked, "keyword: Opt-out") == (
        "test.yaml:2: keyword: 'optout' is a stop keyword, which counts before any other: choose another word"
    )
    assert "'mula' is a start keyword," in await refused(asked, "keyword: [Info, MULA]")
    await asked.add_device(device="second")
    async with asked.pool.acquire() as connection:
        await add_device(connection, DeviceSettings(id="second", stop_keywords="GENUG, Basta"))
    assert "'genug' is a stop keyword of device second," in await refused(asked, "keyword: Genug!")
    assert "cannot be a keyword: give it letters or digits" in await refused(asked, "keyword: '!!'")
    assert "is not the code of an advertisement" in await refused(asked, "ad: 'two words'")
    assert (
        await refused(asked, "keyword: true")
        == 'test.yaml:2: keyword[0]: true is not a text, put it in quotes: "true"'
    )
    async with asked.pool.acquire() as connection:
        assert await find_sequence(connection, "other") is None, "nothing was stored"
        with pytest.raises(
            InvalidInput, match=r"'Vita C' is a keyword of sequence 'vitac', and would enroll nobody"
        ):
            await check_stop_words(connection, ["stop", "vitac"])
        await check_stop_words(connection, ["stop"])
    with pytest.raises(asyncpg.UniqueViolationError):
        await asked.pool.execute(
            "insert into sequence_keywords (kind, code, sequence_id, written) select 'keyword', 'vitac', id, 'V' from sequences"
        )


async def test_keywords_change_hands_and_numbers_are_words(asked: Scenario) -> None:
    async with asked.pool.acquire() as connection:
        row = await find_sequence(connection, "vitac")
    assert row is not None
    assert (row.keywords, row.ads) == (("VITAC 2", "Vita C"), ("120226305854810726",))
    await asked.apply(VITAC.replace("[Vita C, VITAC 2]", "2026"))
    await asked.apply(VITAC.replace("vitac", "other").replace("ad: 120226305854810726", "ad: 12"))
    async with asked.pool.acquire() as connection:
        row = await find_sequence(connection, "vitac")
    assert row is not None
    assert row.keywords == ("2026",)
    recorded = await record(asked, keyword("2026!"), keyword("VitaC", number=phone(8)))
    assert [one.sequence for one in recorded.then.wanted] == ["vitac", "other"]
