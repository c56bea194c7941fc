"""What a reply does to the sequences that wrote to the person: in the transaction that records it, in whatever order."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from messaging.common.database import Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.files.yaml import FileProblems
from messaging.gateways.webhook_events import InboundMessage, Receipt
from messaging.leads.lead import Lead
from messaging.replies.consequences import Affected
from messaging.replies.recipients import learn_from_receipts
from messaging.replies.record import RecordedInbound, record_inbound
from messaging.sending.claim_answers import Replan, StepClaim
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sequences.apply import apply_sequences
from messaging.sequences.contacts import pause_contact, resume_contact
from messaging.sequences.contract import EnrollmentRequest, Replanned
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import SequenceDraft, read_sequence
from messaging.sequences.wanted import wanted_page
from rig.people import phone
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound

PHONE = phone(1)
WITHIN = 3 * 86_400

RULES = """
sequence: welcome
{more}
steps:
  - id: ask
    day: 1
    text: "Do you want the price list? YES or NO"
    {on_reply}
  - {{id: remind, after: 24h, text: "You did not answer"}}
  - {{id: again, after: 24h, text: "Still there?"}}
  - {{id: prices, after: 5m, text: "The price list"}}
  - {{id: bye, after: 24h, text: "Bye"}}
"""
BY_STEP = (
    "on_reply: [{when: [Yes!, ya, opt_1], do: go prices}, {when: no, do: stop}, {when: later, do: continue}]"
)


async def record(contact: Contact, *messages: InboundMessage) -> RecordedInbound:
    async with contact.scenario.pool.acquire() as connection:
        return await record_inbound(
            connection, "simulated", contact.scenario.device, messages, DEFAULT_KEYWORDS
        )


async def state(contact: Contact, sequence: str = "welcome") -> dict[str, Any]:
    """The enrollment's row."""
    row = await contact.scenario.pool.fetchrow(
        "select c.*, g.key as go from sequence_contacts c join sequences s on s.id = c.sequence_id"
        " left join sequence_steps g on g.id = c.go_step_id where s.name = $1 and c.phone = $2",
        *(sequence, contact.phone),
    )
    assert row is not None
    return dict(row)


async def claim(contact: Contact) -> Any:
    """What another attempt for the step that was due is answered."""
    ref = contact.ref()
    return await Ledger(contact.scenario.pool).claim_step(
        enrollment_id=ref.enrollment_id,
        step_id=ref.step_id,
        revision=ref.revision,
        message_id=sequence_message_id(ref.step_id, ref.phone),
        token="another",
        now=contact.now,
    )


async def send(contact: Contact) -> Any:
    """Sends the step that is due; the contact is at the next one then."""
    outcome = await contact.send()
    if isinstance(outcome, Settled | Replanned):
        contact.due = outcome.next
    return outcome


async def asked(contact: Contact, more: str = "", on_reply: str = BY_STEP) -> None:
    """The contact has had the question of a sequence with rules."""
    await contact.scenario.apply(RULES.format(more=more, on_reply=on_reply))
    await contact.scenario.pool.execute("truncate sequence_contacts, broadcast_messages")
    await contact.enroll()
    assert isinstance(await send(contact), Settled)


async def test_a_reply_pauses_the_contact_until_it_is_resumed(contact: Contact) -> None:
    pool = contact.scenario.pool
    await send(contact)
    reply = inbound("in-1", PHONE, "Hello,\n how much is it? I would like to order two", after=60)
    recorded = await record(contact, reply, reply)
    reason = 'answered: "Hello, how much is it? I would like to …"'
    row = await state(contact)
    assert (row["status"], row["paused_reason"], row["answered_at"]) == ("active", reason, reply.at)
    assert row["plan_changed_at"] is not None, "its workflow is to be told"
    assert recorded.then.affected == (Affected(row["id"], f"sequence:welcome:{PHONE}"),)
    contact.now += timedelta(hours=2)
    assert isinstance(await claim(contact), Replan)
    outcome = await send(contact)
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert outcome.next.paused == reason, "the workflow shows it"
    held = await contact.send()
    assert held == Held(reason=f"the contact is paused: {reason}")
    assert await pool.fetchval("select effects from inbound_messages") == [
        {"enrollment": row["id"], "sequence": "welcome", "did": "paused", "to": None}
    ]
    assert await resume_contact(pool, row["id"])
    assert (await record(contact, reply)).then.affected, "reported again, it is carried out again"
    assert (await state(contact))["paused_at"] is None, "and changes nothing"
    assert isinstance(await send(contact), Replanned)
    assert isinstance(await send(contact), Settled)


async def test_a_paused_message_does_not_ask_again_at_once_while_a_reply_is_recorded(
    contact: Contact,
) -> None:
    await claim(contact)
    await contact.scenario.pool.execute("update sequence_contacts set paused_at = now()")
    await contact.scenario.pool.execute("update broadcast_messages set status = 'queued'")
    async with contact.scenario.pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(inbound_lock($1))", PHONE)
        answer = await claim(contact)
    assert isinstance(answer, Deferred)
    assert answer.reason == "a message of its recipient is being recorded"
    assert answer.until - contact.now == timedelta(milliseconds=250)
    assert isinstance(await claim(contact), Held)


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"text": "yes"}, "go prices"),
        ({"text": "Ya!!"}, "go prices"),
        ({"text": "The first", "kind": "button", "payload": "OPT_1"}, "go prices"),
        ({"text": "Yes", "kind": "list", "payload": "x"}, "go prices"),
        ({"text": "ya", "kind": "image"}, "go prices"),
        ({"text": None, "kind": "document", "payload": "yes"}, 'paused answered: "yes"'),
        ({"text": "yes but when"}, 'paused answered: "yes but when"'),
        ({"text": "No."}, "stopped"),
        ({"text": "later"}, "active"),
        ({"text": "1"}, "stopped by the sequence"),
        ({"text": None, "kind": "audio"}, "paused answered: (audio)"),
        ({"text": "\U0001f44d", "kind": "reaction"}, "active"),
        ({"text": None, "kind": "preference", "payload": "resume"}, "active"),
        ({"text": "changed", "kind": "number_changed", "payload": "unknown"}, "active"),
        ({"text": "START"}, "active"),
        ({"text": "don't stop"}, 'paused answered: "don\'t stop"'),
        ({"text": "STOP"}, "opted_out"),
    ],
)
async def test_the_first_rule_that_matches_counts(
    contact: Contact, said: dict[str, Any], result: str
) -> None:
    await asked(contact, "on_reply: [{when: ['1', no], do: stop}, {when: ya, do: stop}]", BY_STEP)
    await record(contact, inbound("in-1", PHONE, said.pop("text"), after=60, **said))
    row = await state(contact)
    found: str = row["status"]
    if row["go"]:
        found = f"go {row['go']}"
    elif row["paused_at"]:
        found = f"paused {row['paused_reason']}"
    assert found == ("stopped" if result.startswith("stopped") else result)


async def test_a_stop_ends_the_enrollment_with_the_reason(contact: Contact) -> None:
    await asked(contact)
    await record(contact, inbound("in-1", PHONE, "No", after=60))
    row = await state(contact)
    assert (row["status"], row["reason"], row["next_step_id"]) == ("stopped", 'answered: "No"', None)
    contact.now += timedelta(days=2)
    assert not isinstance(await claim(contact), StepClaim)


async def test_a_waiting_message_is_closed_by_a_stop(contact: Contact) -> None:
    await asked(contact)
    contact.now += timedelta(days=1)
    await contact.scenario.pool.execute(
        "update devices set min_delay = 10, max_delay = 10, next_slot_at = $1",
        contact.now + timedelta(hours=1),
    )
    assert not isinstance(await claim(contact), StepClaim)
    await record(contact, inbound("in-1", PHONE, "No", after=60))
    ended = (await contact.scenario.messages())[-1]
    assert (ended["step"], ended["status"], ended["reason"]) == ("remind", "cancelled", 'answered: "No"')


async def test_a_reply_sends_the_contact_on_and_the_steps_between_are_skipped(contact: Contact) -> None:
    await asked(contact)
    recorded = await record(contact, inbound("in-1", PHONE, "Yes", after=60))
    assert recorded.then.affected
    contact.now = NOON + timedelta(days=1)
    assert isinstance(await claim(contact), Replan), "nothing goes out that is to be skipped"
    contact.now = NOON + timedelta(seconds=70)
    outcome = await send(contact)
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert (outcome.next.step, outcome.next.due_at) == ("prices", NOON + timedelta(seconds=60, minutes=5))
    assert [(m["step"], m["status"], m["reason"]) for m in await contact.scenario.messages()] == [
        ("ask", "sent", None),
        ("remind", "cancelled", 'skipped: answered: "Yes"'),
        ("again", "cancelled", 'skipped: answered: "Yes"'),
    ]
    row = await state(contact)
    assert (row["go_step_id"], row["plan_changed_at"], row["paused_at"]) == (None, None, None)
    contact.now = outcome.next.due_at
    assert isinstance(await send(contact), Settled)
    assert contact.due is not None
    assert contact.due.step == "bye"
    assert abs(contact.due.due_at - contact.now - timedelta(days=1)) < timedelta(seconds=5)


async def test_of_several_steps_to_go_to_the_latest_counts(contact: Contact) -> None:
    rules = "on_reply: [{when: a, do: go remind}, {when: b, do: go again}, {when: c, do: go prices}]"
    for order in itertools.permutations("abc"):
        await contact.scenario.pool.execute("truncate inbound_messages, suppressions")
        await asked(contact, on_reply=rules)
        for word in order:
            await record(contact, inbound(f"in-{word}", PHONE, word, after=60 + ord(word)))
        assert (await state(contact))["go"] == "prices", order


SAID = {
    "hm": "hm?",
    "yes": "yes",
    "no": "no",
    "typed": "Let me call you",
    "later": "later",
}


@pytest.mark.parametrize(
    "words", [("hm", "yes", "typed", "later"), ("yes", "no", "hm"), ("hm", "typed", "no")]
)
async def test_replies_in_any_order_lead_to_the_same_state(contact: Contact, words: tuple[str, ...]) -> None:
    said = [
        inbound(f"in-{word}", PHONE, SAID[word], after=60 + place, from_me=word == "typed")
        for place, word in enumerate(words)
    ]
    states = set()
    for order in itertools.permutations(said):
        await contact.scenario.pool.execute("truncate inbound_messages, suppressions")
        await asked(contact)
        await record(contact, *order, *order[:1])
        row = await state(contact)
        end = ("status", "go", "go_at", "answered_at") + (
            ("paused_reason",) if row["status"] == "active" else ()
        )
        states.add(tuple(row[name] for name in end if row["status"] == "active" or name == "status"))
    assert len(states) == 1, states


async def test_an_operators_pause_keeps_its_reason(contact: Contact) -> None:
    await send(contact)
    assert contact.enrolled is not None
    await pause_contact(contact.scenario.pool, contact.enrolled.enrollment_id, "on holiday")
    await record(contact, inbound("in-1", PHONE, "Hello", after=60))
    row = await state(contact)
    assert (row["paused_reason"], row["answered_at"]) == ("on holiday", None)
    await resume_contact(contact.scenario.pool, row["id"])
    await record(contact, inbound("in-2", PHONE, "And?", after=70))
    assert (await state(contact))["paused_reason"] == 'answered: "And?"'
    await resume_contact(contact.scenario.pool, row["id"])
    await pause_contact(contact.scenario.pool, row["id"], "on holiday again")
    await record(contact, inbound("in-0", PHONE, "Late", after=50))
    assert (await state(contact))["paused_reason"] == "on holiday again"


# Which sequences a reply counts for


@pytest.mark.parametrize(
    ("after", "others", "counts"),
    [
        (1, {}, True),
        (-30, {}, True),  # clocks differ
        (-120, {}, False),
        (WITHIN - 5, {}, True),
        (WITHIN + 5, {}, False),
        (WITHIN + 5, {"answers": "OURS"}, True),
        (60, {"receivers": ("another",)}, False),
        (60, {"receivers": ("another",), "answers": "OURS"}, True),
        (60, {"receivers": ("successor",)}, True),
    ],
)
async def test_a_reply_counts_for_what_was_sent_within_a_time_by_that_device(
    contact: Contact, after: int, others: dict[str, Any], counts: bool
) -> None:
    pool, ours = contact.scenario.pool, contact.scenario.device
    await send(contact)
    for device in ("another", "successor"):
        await contact.scenario.add_device(device=device)
    await pool.execute("update devices set replaced_by = 'successor' where id = $1", ours)
    if others.get("answers"):
        others = {**others, "answers": (await contact.message())["gateway_message_id"]}
    if "receivers" not in others:
        others["receivers"] = (ours,)
    await record(contact, inbound("in-1", PHONE, "Hello", after=after, **others))
    assert ((await state(contact))["paused_at"] is not None) == counts


async def test_a_sequence_says_how_long_a_reply_counts(contact: Contact) -> None:
    await asked(contact, "reply_within: 30m")
    await record(contact, inbound("in-1", PHONE, "Hello", after=1900))
    assert (await state(contact))["paused_at"] is None
    await record(contact, inbound("in-2", PHONE, "Hello", after=1700))
    assert (await state(contact))["paused_at"] is not None


async def test_who_got_nothing_yet_is_not_paused(contact: Contact) -> None:
    await record(contact, inbound("in-1", PHONE, "Hello", after=60))
    assert (await state(contact))["paused_at"] is None


async def test_a_reply_to_what_is_under_way_counts(contact: Contact) -> None:
    await contact.claim()
    await record(contact, inbound("in-1", PHONE, "Hello", after=1))
    assert (await state(contact))["paused_at"] is not None


async def test_the_rules_of_the_step_that_is_answered_decide(contact: Contact) -> None:
    await contact.scenario.apply(
        "sequence: welcome\nsteps:\n"
        " - {id: one, day: 1, text: One, on_reply: stop}\n"
        " - {id: two, after: 1h, text: Two, on_reply: continue}\n"
        " - {id: three, after: 1h, text: Three}\n"
    )
    await contact.scenario.pool.execute("truncate sequence_contacts, broadcast_messages")
    await contact.enroll()
    await send(contact)
    contact.now += timedelta(hours=1)
    await send(contact)
    first = (await contact.scenario.messages())[0]["gateway_message_id"]
    await record(contact, inbound("in-1", PHONE, "Hello", after=3700))
    assert (await state(contact))["status"] == "active", "it answers the second"
    await record(contact, inbound("in-2", PHONE, "Hello", after=3710, answers=first))
    assert (await state(contact))["status"] == "stopped", "it quotes the first"


@pytest.mark.parametrize(("received", "answers"), [(0.5, "two"), (0.3, "one")])
async def test_a_time_in_whole_seconds_is_taken_for_the_latest_that_it_can_mean(
    contact: Contact, received: float, answers: str
) -> None:
    """A reply of 13:00:00, to a message of 13:00:00.4, or to the one before?"""
    await contact.scenario.apply(
        "sequence: welcome\nsteps:\n - {id: one, day: 1, text: One, on_reply: stop}\n"
        " - {id: two, after: 1h, text: Two, on_reply: continue}\n - {id: three, after: 1h, text: Three}\n"
    )
    pool = contact.scenario.pool
    await pool.execute("truncate sequence_contacts, broadcast_messages")
    await contact.enroll()
    await send(contact)
    contact.now += timedelta(hours=1)
    await send(contact)
    at = NOON + timedelta(hours=1)
    await pool.execute(
        "update broadcast_messages m set sent_at = $1 from sequence_steps t where t.id = m.sequence_stepid and t.key = 'two'",
        at + timedelta(seconds=0.4),
    )
    await pool.execute(
        f"alter table inbound_messages alter received_at set default '{at + timedelta(seconds=received)}'"
    )
    await record(contact, inbound("in-1", PHONE, "Hello", after=3600))
    assert (await state(contact))["status"] == ("active" if answers == "two" else "stopped")


async def test_a_reply_counts_for_all_phones_that_it_concerns(contact: Contact) -> None:
    await send(contact)
    ours = (await contact.message())["gateway_message_id"]
    await record(contact, inbound("in-1", phone(2), "Hello", after=60, answers=ours))
    assert (await state(contact))["paused_at"] is not None


async def test_a_reply_whose_sender_becomes_known_later_counts_then(contact: Contact) -> None:
    await asked(contact)
    await record(contact, inbound("in-1", None, "Yes", after=60, identities=("lid:1",)))
    await record(contact, inbound("in-2", None, "hm", after=70, identities=("lid:1",)))
    assert (await state(contact))["go"] is None
    ours: Any = await contact.message()
    receipt = Receipt(status="read", at=NOON, message_id=ours["id"], recipient=("lid:1",))
    async with contact.scenario.pool.acquire() as connection:
        then = await learn_from_receipts(connection, "simulated", [receipt])
    row = await state(contact)
    assert (row["go"], row["paused_reason"]) == ("prices", 'answered: "hm"')
    assert then.affected == (Affected(row["id"], row["workflow_id"]),)


async def test_the_next_message_makes_an_earlier_sender_known(contact: Contact) -> None:
    await send(contact)
    await record(contact, inbound("in-1", None, "Hello", after=60, identities=("lid:1",)))
    assert (await state(contact))["paused_at"] is None
    await record(contact, inbound("in-2", PHONE, "STAR", kind="reaction", after=70, identities=("lid:1",)))
    assert (await state(contact))["paused_reason"] == 'answered: "Hello"'


# Another sequence

COURSE = "sequence: course\nsteps: [{id: lesson, day: 1, text: Lesson}]\n"


@pytest.mark.parametrize("completed", [False, True])
async def test_a_reply_takes_the_contact_to_another_sequence(contact: Contact, completed: bool) -> None:
    pool, enrollments = contact.scenario.pool, Enrollments(contact.scenario.pool)
    await contact.scenario.apply(COURSE)
    await asked(contact, on_reply="on_reply: {when: yes, do: go course}")
    if completed:
        await pool.execute(
            "update sequence_contacts set status = 'completed', ended_at = now(), next_step_id = null"
        )
    recorded = await record(contact, inbound("in-1", PHONE, "Yes", after=60))
    request = EnrollmentRequest(sequence="course", lead=Lead(phone=PHONE, name="Aisha"))
    assert recorded.then.wanted == (request,)
    row = await state(contact)
    expected = ("completed", None) if completed else ("stopped", 'answered: "Yes", goes on in course')
    assert (row["status"], row["reason"]) == expected
    assert (await wanted_page(pool, 0, 10)).requests == (request,), "who was to start it may have died"
    await enrollments.enroll(request, workflow_id=f"sequence:course:{PHONE}", run_id="run-2", now=contact.now)
    assert (await wanted_page(pool, 0, 10)).requests == ()
    assert (await state(contact, "course"))["status"] == "active"
    assert (await record(contact, inbound("in-2", PHONE, "Yes", after=70))).then.wanted == (), (
        "once per person"
    )


async def test_two_sequences_that_lead_to_each_other_end(contact: Contact) -> None:
    pool, enrollments = contact.scenario.pool, Enrollments(contact.scenario.pool)
    await contact.scenario.apply(COURSE)
    await asked(contact, on_reply="on_reply: go course")
    request = EnrollmentRequest(sequence="course", lead=Lead(phone=PHONE, name="Aisha"))
    await enrollments.enroll(request, workflow_id=f"sequence:course:{PHONE}", run_id="run-2", now=contact.now)
    await pool.execute(
        "update sequence_contacts set status = 'completed', ended_at = now() where workflow_id like '%course%'"
    )
    assert (await record(contact, inbound("in-1", PHONE, "Yes", after=60))).then.wanted == ()
    row = await state(contact)
    assert (row["status"], row["reason"]) == ("stopped", 'answered: "Yes", does not begin course')


async def test_a_reply_that_names_no_sequence_any_more_pauses(contact: Contact) -> None:
    await asked(contact, on_reply="on_reply: go nowhere")
    await record(contact, inbound("in-1", PHONE, "Yes", after=60))
    assert (await state(contact))["paused_reason"] == 'answered: "Yes"'


async def test_who_has_opted_out_is_enrolled_nowhere(contact: Contact) -> None:
    await contact.scenario.apply(COURSE)
    await asked(contact, on_reply="on_reply: go course")
    await contact.scenario.pool.execute("update sequence_contacts set status = 'completed', ended_at = now()")
    await record(contact, inbound("in-1", PHONE, "STOP", after=60))
    assert (await record(contact, inbound("in-2", PHONE, "Yes", after=70))).then.wanted == ()


# What somebody types on the phone itself


async def test_who_takes_over_on_the_phone_pauses_the_contact_whatever_the_rules_say(
    contact: Contact,
) -> None:
    await asked(contact, "on_reply: continue", "")
    await record(contact, inbound("in-1", PHONE, "Hi, this is Mei. STOP by any time", after=60, from_me=True))
    row = await state(contact)
    assert (row["status"], row["paused_reason"]) == (
        "active",
        'taken over on the phone: "Hi, this is Mei. STOP by any time"',
    )


@pytest.mark.parametrize(
    ("text", "others", "known_as", "ours"),
    [
        ("Hi Aisha", {}, "sent", True),
        ("anything", {"identifier": "OURS"}, "sent", True),
        ("anything", {"identifier": "EARLIER"}, "sent", True),
        ("Hi Aisha", {}, "processing", True),
        ("Hi   Aisha ", {"kind": "image"}, "processing", True),
        ("Hello, Mei here", {}, "processing", False),
        (None, {"kind": "sticker"}, "processing", False),
        ("Hi Aisha", {}, "unconfirmed", True),
        ("Hello, Mei here", {}, "unconfirmed", False),
        ("Hi Aisha", {}, "sent without an ID", True),
        ("Hello, Mei here", {}, "sent without an ID", False),
    ],
)
async def test_what_drumbeat_itself_sends_takes_nothing_over(
    contact: Contact, text: str | None, others: dict[str, Any], known_as: str, ours: bool
) -> None:
    pool = contact.scenario.pool
    if known_as == "processing":
        await contact.claim()
    else:
        await send(contact)
        await pool.execute("update broadcast_messages set earlier_gateway_ids = '{earlier}'")
    identifiers = {"OURS": (await contact.message())["gateway_message_id"], "EARLIER": "earlier"}
    if known_as == "unconfirmed":
        await pool.execute(
            "update broadcast_messages set status = 'unconfirmed', sent_at = null, gateway_message_id = null"
        )
    elif known_as == "sent without an ID":
        await pool.execute("update broadcast_messages set gateway_message_id = null")
    name = str(identifiers.get(others.pop("identifier", ""), "in-1"))
    if known_as == "sent" and name == "in-1":
        name = str(identifiers["OURS"])
    await record(contact, inbound(name, PHONE, text, after=1, from_me=True, **others))
    assert ((await state(contact))["paused_at"] is None) == ours


async def test_our_own_send_is_reported_at_the_moment_of_the_gateways_answer(contact: Contact) -> None:
    pool = contact.scenario.pool
    for number in range(60):
        await contact.enroll(phone(100 + number))
        token, gateway_id = f"attempt-{number}", f"gw-{number}"
        message = sequence_message_id(contact.ref().step_id, contact.phone)
        await contact.claim(token)
        await asyncio.gather(
            record(contact, inbound(gateway_id, contact.phone, "Hi Aisha", after=1, from_me=True)),
            settle_after(pool, message, token, gateway_id, number / 3_000),
        )
        assert (await state(contact))["paused_at"] is None


async def settle_after(pool: Pool, message: UUID, token: str, gateway_id: str, seconds: float) -> None:
    """The gateway's answer is recorded."""
    await asyncio.sleep(seconds)
    assert await Ledger(pool).settle(message, token, MessageStatus.SENT, NOON, gateway_message_id=gateway_id)


@pytest.mark.parametrize(
    ("known_as", "after", "ours"), [("processing", 1, True), ("sent", 1, True), ("sent", 300, False)]
)
async def test_an_image_that_goes_out_before_its_text_is_ours(
    contact: Contact, known_as: str, after: float, ours: bool
) -> None:
    """Its ID is not kept, as the message has that of its text."""
    pool = contact.scenario.pool
    await pool.execute("update sequence_steps set image_url = 'https://example.com/one.png'")
    await contact.claim()
    await pool.execute("update broadcast_messages set parts_sent = 1, begun_at = $1", NOON)
    if known_as == "sent":
        await pool.execute(
            "update broadcast_messages set status = 'sent', sent_at = $1, answered_at = $1, content = 'Hi Aisha',"
            " gateway_message_id = 'of the text'",
            NOON,
        )
    await record(contact, inbound("of the image", PHONE, None, kind="image", after=after, from_me=True))
    assert ((await state(contact))["paused_at"] is None) == ours


# At the moment of a claim


@pytest.mark.parametrize("offset", range(5))
async def test_a_reply_just_before_the_claim(contact: Contact, offset: int) -> None:
    """At the same moment, many times: whatever comes first, no claim that begins after the reply is stored succeeds."""
    pool = contact.scenario.pool
    for number in range(20):
        await pool.execute("truncate inbound_messages, suppressions, broadcast_messages, sequence_contacts")
        contact.now = NOON
        await contact.enroll(phone(100 + number))
        await send(contact)
        contact.now += timedelta(hours=1)

        async def reply_then_claim() -> Any:
            await asyncio.sleep(offset / 2000)
            await record(contact, inbound("in-1", contact.phone, "Hello", after=3599))
            return await claim(contact)

        after, _ = await asyncio.gather(reply_then_claim(), claim(contact))
        assert not isinstance(after, StepClaim), "the reply was stored before"
        assert (await state(contact))["paused_at"] is not None


async def test_a_step_in_doubt_that_is_to_be_skipped_is_not_sent_again(contact: Contact) -> None:
    """A worker claimed it and died; then the reply came."""
    await asked(contact)
    contact.now += timedelta(days=1)
    await contact.claim()
    await record(contact, inbound("in-1", PHONE, "Yes", after=86_400))
    before = len(await contact.scenario.requests())
    contact.now += timedelta(seconds=16)
    replanned = await contact.activities.replan(contact.ref().enrollment_id)
    assert replanned is not None
    assert replanned.step == "remind", "what was begun is settled first"
    while isinstance(outcome := await send(contact), Deferred):
        contact.now = max(contact.now, outcome.until)
    assert isinstance(outcome, Replanned)
    assert len(await contact.scenario.requests()) == before, "nothing begins after the reply"
    assert outcome.next is not None
    assert outcome.next.step == "prices"
    last = {m["step"]: (m["status"], m["reason"]) for m in await contact.scenario.messages()}
    assert last["again"] == ("cancelled", 'skipped: answered: "Yes"')
    assert (await state(contact))["go_step_id"] is None


async def test_a_reply_while_the_step_is_sent_holds_after_it(contact: Contact) -> None:
    await asked(contact)
    contact.now += timedelta(days=1)
    faults = {"kind": "latency", "seconds": 1}
    await contact.scenario.faults(faults)
    sending = asyncio.create_task(send(contact))

    async def is_sent() -> None:
        while not await contact.scenario.pool.fetchval(
            "select exists (select from broadcast_messages where status = 'processing')"
        ):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(is_sent(), 10)
    await record(contact, inbound("in-1", PHONE, "Yes", after=86_400))
    await sending
    row = await state(contact)
    assert row["go"] == "prices"
    assert row["plan_changed_at"] is not None
    contact.now += timedelta(minutes=1)
    following = await contact.activities.replan(row["id"])
    assert following is not None
    assert following.step == "prices"


# Files


GOES = "sequence: {name}\non_reply: {rules}\nsteps:\n - {{id: a, day: 1, text: A, on_reply: {of_a}}}\n - {{id: b, after: 1h, text: B, on_reply: {of_b}}}\n"


def draft(
    name: str = "asks", rules: str = "pause", of_a: str = "pause", of_b: str = "pause"
) -> SequenceDraft:
    return read_sequence(GOES.format(name=name, rules=rules, of_a=of_a, of_b=of_b), f"{name}.yaml")


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (
            {"of_b": "go a"},
            "asks.yaml:5: steps[1].on_reply: 'a' is no later step: a reply sends contacts forward only",
        ),
        (
            {"of_a": "go a"},
            "asks.yaml:4: steps[0].on_reply: 'a' is no later step: a reply sends contacts forward only",
        ),
        (
            {"rules": "[{when: x, do: go asks}]"},
            "asks.yaml:2: on_reply[0].do: is this sequence itself, and a contact goes through it only once",
        ),
        (
            {"rules": "{do: go b}", "name": "b"},
            "b.yaml:2: on_reply.do: 'b' is a step of this sequence and also a sequence: rename one",
        ),
    ],
)
async def test_where_a_reply_cannot_send_contacts_is_a_problem(
    contact: Contact, written: dict[str, str], line: str
) -> None:
    async with contact.scenario.pool.acquire() as connection:
        with pytest.raises(FileProblems) as error:
            await apply_sequences(connection, [draft(**written)])
    assert [str(problem) for problem in error.value.problems] == [line]


async def test_what_may_come_later_is_a_warning_and_an_edit_names_what_changes(contact: Contact) -> None:
    async with contact.scenario.pool.acquire() as connection:
        [one] = await apply_sequences(
            connection, [draft(rules="[{when: [Stop, x], do: go nowhere}]", of_a="go b", of_b="go welcome")]
        )
        assert one.warnings == (
            (
                "asks.yaml:2: on_reply[0].do: warning: there is no step 'nowhere' here, and no sequence of that name yet,"
                " so such a reply pauses: known are a, b, asks, welcome"
            ),
            "asks.yaml:2: on_reply[0].when: warning: 'stop' is a keyword that opts out, and such a reply does nothing else",
        )
        [same] = await apply_sequences(
            connection, [draft(rules="[{when: [stop, X], do: go nowhere}]", of_a="go b", of_b="go welcome")]
        )
        assert same.result == "unchanged"
        [other] = await apply_sequences(connection, [draft(rules="stop", of_a="go b", of_b="continue")])
    assert other.changes == (
        "on_reply: stop, x: go nowhere → stop",
        "step 'b' on_reply: go welcome → continue",
    )
