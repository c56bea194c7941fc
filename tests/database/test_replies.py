"""What people write, from the gateway's webhook to the ledger: stored once, with its effect, in whatever order it comes."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from activities.limiter import DeviceLimiter
from activities.sequences import SequenceActivities
from messaging.common.database import Pool
from messaging.common.errors import InvalidPhone, NotFound
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.gateways import Gateways
from messaging.gateways.cloud_api_inbound import inbound_of_change
from messaging.gateways.webhook_events import InboundMessage, Receipt
from messaging.leads.known_phones import find_phone
from messaging.leads.opt_outs import record_opt_out, withdraw
from messaging.replies.consequences import Consequences, Stopped, together
from messaging.replies.inbox import InboundReport, inbound_of_phone, list_inbox
from messaging.replies.recipients import learn_from_answer, learn_from_receipts
from messaging.replies.record import RecordedInbound, record_inbound
from messaging.reporting.contact import contact_report
from messaging.sending.claim_answers import StepClaim
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.outcomes import Settled
from messaging.sending.send import Sender
from rig.gateway_control import write
from rig.people import phone
from rig.waiting import until
from runtime.embedded import replies
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound, no_workflows
from tests.support.simulator_process import SimulatorProcess
from tests.support.wire import Reply, wire
from webhooks.endpoint import webhooks

PHONE = phone(1)


async def record(contact: Contact, *messages: InboundMessage, gateway: str = "simulated") -> RecordedInbound:
    async with contact.scenario.pool.acquire() as connection:
        return await record_inbound(connection, gateway, contact.scenario.device, messages, DEFAULT_KEYWORDS)


async def in_inbox(pool: Pool) -> tuple[InboundReport, ...]:
    """What an operator should look at."""
    return (await list_inbox(pool)).messages


async def sources(pool: Pool, number: str = PHONE) -> list[str]:
    """Who has opted this phone out."""
    rows = await pool.fetch("select source from suppressions where phone = $1 order by source", number)
    return [row["source"] for row in rows]


async def claim(contact: Contact) -> Any:
    """What another attempt is answered."""
    ref = contact.ref()
    return await Ledger(contact.scenario.pool).claim_step(
        enrollment_id=ref.enrollment_id,
        step_id=ref.step_id,
        revision=ref.revision,
        message_id=sequence_message_id(ref.step_id, ref.phone),
        token="another",
        now=contact.now,
    )


async def test_stop_opts_out_with_its_evidence_and_is_stored_once(contact: Contact) -> None:
    pool = contact.scenario.pool
    stop = inbound("in-1", PHONE, "Stop!!", name="Aisha")
    first = await record(contact, stop, stop)
    assert (first.new, {one.phone for one in first.then.stopped}) == (1, {PHONE})
    assert first.then.stopped[0].workflows == [f"sequence:welcome:{PHONE}"]
    again = await record(contact, stop)
    assert again == RecordedInbound(0, Consequences(stopped=(Stopped(PHONE, []),))), (
        "told again, it is carried out again"
    )
    [row] = await pool.fetch("select * from inbound_messages")
    assert (row["phone"], row["text"], row["meaning"], row["to_review"]) == (PHONE, "Stop!!", "stop", None)
    [suppression] = await pool.fetch("select * from suppressions")
    assert (suppression["source"], suppression["inbound_message_id"]) == ("reply", row["id"])
    assert suppression["reason"] == "the recipient answered 'Stop!!'"
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"
    assert not isinstance(await claim(contact), StepClaim)
    assert await contact.scenario.messages() == [] or (await contact.message())["status"] == "suppressed"


async def test_a_message_that_waits_is_closed_by_it(contact: Contact) -> None:
    await contact.scenario.add_device(min_delay=1000, max_delay=1000)
    pool = contact.scenario.pool
    await pool.execute("update devices set next_slot_at = $1::timestamptz + interval '1 hour'", NOON)
    assert not isinstance(await claim(contact), StepClaim)
    await record(contact, inbound("in-1", PHONE, "STOP"))
    assert (await contact.message())["status"] == "suppressed"


SAID = (("in-1", "STOP", 0), ("in-2", "START", 60), ("in-3", "stop", 120), ("in-4", "START", 180))


@pytest.mark.parametrize("many", [1, 2, 3, 4])
async def test_the_last_keyword_counts_in_whatever_order_and_however_often_they_come(
    contact: Contact, many: int
) -> None:
    said = [inbound(identifier, PHONE, text, after=after) for identifier, text, after in SAID[:many]]
    pool = contact.scenario.pool
    for order in itertools.permutations(said):
        await pool.execute("truncate inbound_messages, suppressions, identities")
        repeated = [*order, *random.sample(order, k=many)]
        await record(contact, *repeated)
        assert await sources(pool) == (["reply"] if many % 2 else []), [one.text for one in order]
        assert await pool.fetchval("select count(*) from inbound_messages") == many


async def test_of_a_stop_and_a_start_of_the_same_second_the_stop_counts(contact: Contact) -> None:
    said = [inbound("in-1", PHONE, "STOP"), inbound("in-2", PHONE, "START")]
    for order in (said, said[::-1]):
        await contact.scenario.pool.execute("truncate inbound_messages, suppressions")
        await record(contact, *order)
        assert await sources(contact.scenario.pool) == ["reply"]


async def test_a_stop_of_tomorrow_does_not_outlive_a_start_of_today(contact: Contact) -> None:
    await record(contact, inbound("in-1", PHONE, "STOP", after=10**9))
    await contact.scenario.pool.execute("select pg_sleep(0.01)")
    await record(contact, inbound("in-2", PHONE, "START", after=10**9))
    assert await sources(contact.scenario.pool) == [], "no message is later than its coming"


async def test_start_takes_back_only_what_the_keyword_did(contact: Contact) -> None:
    pool = contact.scenario.pool
    async with pool.acquire() as connection:
        recorded = await record_opt_out(connection, PHONE, "by telephone")
    assert recorded.changed
    await record(
        contact,
        inbound("in-1", PHONE, "STOP"),
        inbound("p-1", PHONE, None, kind="preference", payload="stop"),
    )
    assert await sources(pool) == ["operator", "preference", "reply"]
    await record(contact, inbound("in-2", PHONE, "START", after=60))
    assert await sources(pool) == ["operator", "preference"]
    await record(contact, inbound("p-2", PHONE, None, after=60, kind="preference", payload="resume"))
    assert await sources(pool) == ["operator"]
    await record(contact, inbound("in-3", phone(2), "START", after=60))
    assert await sources(pool) == ["operator"]
    assert (await withdraw(pool, PHONE)).changed
    assert not (await withdraw(pool, PHONE)).changed


async def test_choices_without_a_time_count_each_and_their_repetitions_do_not(contact: Contact) -> None:
    """Meta documents a timestamp; without one, only what came in between tells another choice from a repetition."""
    pool = contact.scenario.pool
    entry = {"wa_id": PHONE[1:], "category": "marketing_messages"}

    async def choose(value: str) -> int:
        [choice] = inbound_of_change({"user_preferences": [{**entry, "value": value}]})
        return (await record(contact, choice)).new

    for value, left in (("resume", []), ("stop", ["preference"]), ("resume", []), ("stop", ["preference"])):
        assert [await choose(value), await choose(value)] == [1, 0]
        assert await sources(pool) == left


async def test_a_number_that_no_plan_has_is_known_once_it_has_written(contact: Contact) -> None:
    pool, written = contact.scenario.pool, "+999 123-45678"
    with pytest.raises(InvalidPhone):
        await find_phone(pool, written, None)
    await record(contact, inbound("in-1", "+99912345678", "Hello"))
    for form in (written, "99912345678", "00999 12345678"):
        assert await find_phone(pool, form, "MY") == "+99912345678"
    assert await find_phone(pool, PHONE, None) == PHONE
    with pytest.raises(InvalidPhone):
        await find_phone(pool, "+999 123-45679", None)


async def test_an_operator_has_the_last_word_on_what_is_told_again(contact: Contact) -> None:
    stop = inbound("in-1", PHONE, "STOP")
    await record(contact, stop)
    await withdraw(contact.scenario.pool, PHONE)
    assert await record(contact, stop) == RecordedInbound(0)
    await record(contact, inbound("in-0", PHONE, "START", after=-60))
    assert await sources(contact.scenario.pool) == []
    await record(contact, inbound("in-2", PHONE, "stop", after=60))
    assert await sources(contact.scenario.pool) == ["reply"]


async def test_concurrent_tellings_change_nothing(contact: Contact) -> None:
    said = [inbound(identifier, PHONE, text, after=after) for identifier, text, after in SAID[:3]]
    tellings = [one for one in said for _ in range(10)]
    random.shuffle(tellings)
    recorded = await asyncio.gather(*(record(contact, one) for one in tellings))
    assert sum(one.new for one in recorded) == 3
    assert await sources(contact.scenario.pool) == ["reply"]


async def recorded_in_turn(contact: Contact, first: InboundMessage, second: InboundMessage) -> None:
    """Writes the second while the first one's transaction is open: it has to wait for it."""
    pool = contact.scenario.pool
    async with pool.acquire() as connection:
        async with connection.transaction():
            await record_inbound(connection, "simulated", contact.scenario.device, [first], DEFAULT_KEYWORDS)
            other = asyncio.create_task(record(contact, second))

            async def waits() -> bool:
                return other.done() or bool(await pool.fetchval(SOMEBODY_WAITS))

            await until(waits)
            assert not other.done()
        await other


SOMEBODY_WAITS = """
select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'advisory')
"""


async def test_messages_of_one_phone_by_different_names_take_their_turns(contact: Contact) -> None:
    await record(contact, inbound("in-0", PHONE, "Hi", identities=("lid:1",)))
    stop = inbound("in-1", None, "STOP", identities=("lid:1",))
    await recorded_in_turn(contact, stop, inbound("in-2", PHONE, "START", after=60))
    assert await sources(contact.scenario.pool) == []


async def test_messages_of_one_name_take_their_turns_before_its_phone_is_known(contact: Contact) -> None:
    stop = inbound("in-1", None, "STOP", identities=("lid:1",))
    await recorded_in_turn(contact, stop, inbound("in-2", PHONE, "Hi", after=60, identities=("lid:1",)))
    assert await sources(contact.scenario.pool) == ["reply"]


async def test_a_stop_by_another_name_while_the_number_changes(contact: Contact) -> None:
    """It had found the old phone before it had to wait."""
    await record(contact, inbound("in-0", PHONE, "Hi", identities=("lid:1",)))
    change = inbound("in-1", PHONE, None, kind="number_changed", payload=phone(3))
    await recorded_in_turn(contact, change, inbound("in-2", None, "STOP", after=60, identities=("lid:1",)))
    assert await sources(contact.scenario.pool, phone(3)) == ["reply"]
    assert (await contact.scenario.pool.fetchval("select status from sequence_contacts")) == "opted_out"


@pytest.mark.parametrize("offset", range(5))
async def test_a_stop_just_before_the_claim(contact: Contact, offset: int) -> None:
    """At the same moment, many times: whatever comes first, no claim that begins after the stop is stored succeeds."""
    pool = contact.scenario.pool
    won = 0
    for number in range(20):
        await pool.execute("truncate inbound_messages, suppressions cascade")
        await pool.execute("truncate broadcast_messages cascade")
        await pool.execute("truncate sequence_contacts cascade")
        await contact.enroll(phone(100 + number))

        async def stop_then_claim() -> Any:
            await asyncio.sleep(offset / 2000)
            await record(contact, inbound("in-1", contact.phone, "STOP"))
            return await claim(contact)

        after, at_once = await asyncio.gather(stop_then_claim(), claim(contact))
        assert not isinstance(after, StepClaim), "the stop was stored before"
        won += isinstance(at_once, StepClaim)
        statuses = [row["status"] for row in await contact.scenario.messages()]
        assert statuses in ([], ["suppressed"], ["processing"])
        assert (statuses == ["processing"]) == isinstance(at_once, StepClaim)
    del won


# Who wrote


async def test_whose_phone_is_not_told_is_kept_and_listed_and_found_out_later(contact: Contact) -> None:
    pool = contact.scenario.pool
    user = "user_id:MY.13491208655302741918"
    recorded = await record(contact, inbound("in-1", None, "STOP", identities=(user,)))
    assert recorded == RecordedInbound(1, effects=("none",))
    assert await pool.fetchval("select count(*) from suppressions") == 0
    [listed] = await in_inbox(pool)
    assert (listed.phone, listed.identities, listed.to_review) == (None, (user,), "unmatched")
    later = await record(
        contact, inbound("in-2", PHONE, "Hello?", after=60, identities=(user, f"wa_id:{PHONE[1:]}"))
    )
    assert [stopped.phone for stopped in later.then.stopped] == [PHONE]
    assert await sources(pool) == ["reply"]
    assert [row["identity"] for row in await pool.fetch("select identity from identities")] == [user]
    await record(contact, inbound("in-3", None, "START", after=120, identities=(user,)))
    assert await sources(pool) == []
    assert [one.text for one in await inbound_of_phone(pool, PHONE)] == ["STOP", "Hello?", "START"]


async def test_an_answer_to_our_message_tells_whose_it_is(contact: Contact) -> None:
    pool = contact.scenario.pool
    await contact.send()
    sent = (await contact.message())["gateway_message_id"]
    other = "+12015550999"
    await record(contact, inbound("in-1", other, "STOP", answers=sent, identities=("wa_id:12015550999",)))
    assert await sources(pool) == await sources(pool, other) == ["reply"]
    [one] = await inbound_of_phone(pool, PHONE)
    assert one.answers == "welcome / hello"
    await record(contact, inbound("in-2", other, "START", after=60))
    assert await sources(pool) == await sources(pool, other) == [], "from there on it is known"


async def test_a_stop_counts_for_the_phone_written_from_and_the_phone_written_to(contact: Contact) -> None:
    pool, other = contact.scenario.pool, phone(2)
    await contact.scenario.add_leads(1, first=2)
    await contact.send()
    sent = (await contact.message())["gateway_message_id"]
    names = (f"wa_id:{other[1:]}",)
    stop = inbound("in-1", other, "STOP", answers=sent, identities=names)
    start = inbound("in-2", other, "START", after=60, answers=sent, identities=names)
    from_one = inbound("in-3", PHONE, "START", after=60)
    for messages, left in (
        ([stop], {PHONE, other}),
        ([stop, start], set()),
        ([start, stop], set()),
        ([stop, from_one], {other}),
        ([from_one, stop], {other}),
    ):
        await pool.execute("truncate inbound_messages, suppressions, identities")
        recorded = await record(contact, *messages)
        rows = await pool.fetch("select phone from suppressions where source = 'reply'")
        assert {row["phone"] for row in rows} == left
        assert {one.phone for one in recorded.then.stopped} >= left
        assert {one.phone for one in (await record(contact, stop)).then.stopped} == left, "told again"


async def test_a_stop_of_a_stranger_is_a_leads_once_a_receipt_says_so(contact: Contact) -> None:
    pool, other = contact.scenario.pool, phone(88)
    await contact.send()
    sent: Any = await contact.message()
    await record(contact, inbound("in-1", other, "STOP", identities=(f"wa_id:{other[1:]}",)))
    assert await sources(pool) == []
    receipt = Receipt(status="read", at=NOON, message_id=sent["id"], recipient=(f"wa_id:{other[1:]}",))
    async with pool.acquire() as connection:
        then = await learn_from_receipts(connection, "simulated", [receipt])
    assert [one.phone for one in then.stopped] == [PHONE]
    assert await sources(pool) == await sources(pool, other) == ["reply"]
    assert await in_inbox(pool) == ()


async def test_what_another_lead_has_written_stays_theirs(contact: Contact) -> None:
    pool, other = contact.scenario.pool, phone(2)
    await contact.scenario.add_leads(1, first=2)
    await contact.send()
    sent: Any = await contact.message()
    await record(contact, inbound("in-1", other, "STOP", identities=(f"wa_id:{other[1:]}",)))
    receipt = Receipt(status="read", at=NOON, message_id=sent["id"], recipient=(f"wa_id:{other[1:]}",))
    async with pool.acquire() as connection:
        assert await learn_from_receipts(connection, "simulated", [receipt]) == Consequences()
    assert await sources(pool) == []


def test_each_phone_is_stopped_once_with_all_that_was_found() -> None:
    found = [Stopped("a", ["w"]), Stopped("b", []), Stopped("a", []), Stopped("b", ["x", "y"])]
    assert together(Consequences((one,)) for one in found).stopped == (
        Stopped("a", ["w"]),
        Stopped("b", ["x", "y"]),
    )


def test_the_names_of_our_numbers_can_be_stored() -> None:
    message = inbound("in-1", PHONE, "Hi", receivers=("kl-\udc00", "2"))
    "".join(message.receivers).encode()
    assert message.receivers[1] == "2"


async def test_our_own_receipts_teach_what_the_recipient_is_called(contact: Contact) -> None:
    pool = contact.scenario.pool
    await contact.send()
    sent: Any = await contact.message()
    names = (f"wa_id:{PHONE[1:]}", "user_id:MY.1", "lid:2515")
    await record(contact, inbound("in-1", None, "STOP", identities=("user_id:MY.1",)))
    assert await sources(pool) == []
    receipts = [
        Receipt(status="read", at=NOON, message_id=sent["id"], recipient=names),
        Receipt(
            status="read", at=NOON, gateway_message_id=sent["gateway_message_id"], recipient=("wa_id:999",)
        ),
        Receipt(status="read", at=NOON, gateway_message_id="another's", recipient=("wa_id:888",)),
    ]
    async with pool.acquire() as connection:
        then = await learn_from_receipts(connection, "simulated", receipts)
        assert [one.phone for one in then.stopped] == [PHONE]
        assert await learn_from_receipts(connection, "simulated", receipts) == Consequences()
    assert await sources(pool) == ["reply"], "it was theirs"
    rows = await pool.fetch("select identity from identities where phone = $1 order by 1", PHONE)
    assert [row["identity"] for row in rows] == ["lid:2515", "user_id:MY.1", "wa_id:999"]
    await record(contact, inbound("in-2", None, "START", after=60, identities=("lid:2515",)))
    assert await sources(pool) == []


async def test_a_stranger_who_says_stop_gets_nothing_later_and_is_listed(contact: Contact) -> None:
    pool, stranger = contact.scenario.pool, phone(77)
    await record(contact, inbound("in-1", stranger, "STOP"), inbound("in-2", stranger, "Who is this?"))
    assert await sources(pool, stranger) == ["reply"]
    assert [(one.phone, one.to_review) for one in await in_inbox(pool)] == [(stranger, "unmatched")] * 2


async def test_a_message_is_of_the_device_that_it_was_written_to(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute(
        "insert into devices (id, gateway, gateway_options) values ('meta-1', 'cloud-api', '{\"phone_number_id\": \"1\"}'),"
        " ('meta-2', 'cloud-api', '{\"phone_number_id\": \"2\"}'), ('g-1', 'gowa', '{\"device\": \"kl-1\"}'), ('g-2', 'gowa', '{}')"
    )
    async with pool.acquire() as connection:
        for gateway, address, receivers, expected in (
            ("cloud-api", "meta-1", ("2",), "meta-2"),
            ("cloud-api", "meta-2", ("2",), "meta-2"),
            ("cloud-api", "meta-1", ("3",), "meta-1"),
            ("gowa", "g-2", ("kl-1", "12015550100@s.whatsapp.net"), "g-1"),
            ("gowa", "g-2", (), "g-2"),
        ):
            await pool.execute("truncate inbound_messages cascade")
            message = inbound("in-1", PHONE, "Hi", receivers=receivers)
            await record_inbound(connection, gateway, address, [message], DEFAULT_KEYWORDS)
            assert await pool.fetchval("select device_id from inbound_messages") == expected


async def test_a_device_may_have_words_of_its_own(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update devices set stop_keywords = '{Genug, start}'")
    await record(contact, inbound("in-1", PHONE, "STOP"))
    assert await sources(pool) == []
    await record(contact, inbound("in-2", PHONE, "genug!"))
    assert await sources(pool) == ["reply"]
    await record(contact, inbound("in-3", PHONE, "START", after=60))
    assert await sources(pool) == ["reply"], "what stands in both stops"


# What an operator sees


async def test_the_inbox_lists_what_somebody_has_to_look_at(contact: Contact) -> None:
    pool = contact.scenario.pool
    said: Sequence[tuple[str, dict[str, Any]]] = (
        ("Hello", {}),
        ("don't stop", {}),
        ("STOP", {}),
        ("\U0001f44d", {"kind": "reaction"}),
        ("Yes", {"kind": "button", "payload": "yes"}),
        ("changed", {"kind": "number_changed", "payload": None}),
        ("typed", {"from_me": True}),
        ("stop", {"from_me": True}),
        ("", {"kind": "image", "media_id": "1"}),
    )
    messages = [
        inbound(f"in-{place}", PHONE, text or None, after=place, **others)
        for place, (text, others) in enumerate(said)
    ]
    await record(contact, *messages)
    listed = await in_inbox(pool)
    assert [(one.kind, one.to_review) for one in listed] == [
        ("image", "answer"),
        ("number_changed", "number_changed"),
        ("button", "answer"),
        ("text", "maybe_stop"),
        ("text", "answer"),
    ]
    assert await sources(pool) == ["reply"]


async def test_what_a_stranger_wrote_is_told_where_there_is_no_lead(contact: Contact) -> None:
    pool, stranger = contact.scenario.pool, phone(77)
    said = [inbound(f"in-{place}", stranger, f"Hello {place}", after=60 * place) for place in range(6)]
    await record(contact, *said[:1], inbound("in-x", stranger, "typed", from_me=True))
    with pytest.raises(NotFound, match=r"; 1 message came from it \(2026-03-02 12:00:00 UTC: 'Hello 0'\)$"):
        await contact_report(pool, stranger, stranger)
    await record(contact, *said)
    with pytest.raises(
        NotFound, match=r"6 messages came from it, the last \(.*12:01:00 UTC: 'Hello 1', .*'Hello 5'"
    ):
        await contact_report(pool, stranger, stranger)


async def test_a_stop_by_an_ordinary_word_holds_and_is_listed(contact: Contact) -> None:
    await record(contact, inbound("in-1", PHONE, "Basta"))
    assert await sources(contact.scenario.pool) == ["reply"]
    assert [(one.meaning, one.to_review) for one in await in_inbox(contact.scenario.pool)] == [
        ("stop", "maybe_stop")
    ]


async def test_what_our_own_sends_are_told_as_is_no_part_of_the_conversation(contact: Contact) -> None:
    await contact.send()
    sent = (await contact.message())["gateway_message_id"]
    assert isinstance(sent, str)
    await record(
        contact,
        inbound(sent, PHONE, "Hi Aisha", from_me=True),
        inbound("in-2", PHONE, "Call me", from_me=True, after=60),
        inbound("in-3", PHONE, "OK", after=120),
    )
    assert [one.text for one in await inbound_of_phone(contact.scenario.pool, PHONE)] == ["Call me", "OK"]


async def test_what_the_database_refuses_takes_nothing_else_with_it(
    contact: Contact, caplog: pytest.LogCaptureFixture
) -> None:
    bad = InboundMessage.model_construct(
        **{**dict(inbound("in-1", PHONE, "x")), "gateway_message_id": "x\0" * 9000}
    )
    recorded = await record(contact, bad, inbound("in-2", PHONE, "STOP"))
    assert recorded.new >= 1
    assert await sources(contact.scenario.pool) == ["reply"]


async def test_the_schema_keeps_evidence_with_replies_and_none_with_operators(contact: Contact) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await contact.scenario.pool.execute(
            "insert into suppressions (phone, source) values ($1, 'reply')", PHONE
        )


# The worker of the embedded servers


async def test_a_worker_hears_the_simulated_gateway_and_the_next_one_what_it_missed(
    contact: Contact, simulator: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "LOOK_EVERY", 0.05)
    (tmp_path / "simulator").mkdir()
    secret = replies.secret_file(tmp_path)
    assert replies.secret_file(tmp_path).read_text() == secret.read_text() != ""
    assert secret.stat().st_mode & 0o777 == 0o600
    pool = contact.scenario.pool
    gateways = Gateways(simulator.url, simulator_secret=secret)

    @asynccontextmanager
    async def worker() -> AsyncIterator[None]:
        async with webhooks(pool, gateways, host="127.0.0.1", port=0, carry_out=no_workflows) as listener:
            hearing = asyncio.create_task(replies.hear_simulator(simulator.url, listener, secret))
            yield
            hearing.cancel()

    async def heard(count: int) -> None:
        async def so_many() -> bool:
            return bool(await pool.fetchval("select count(*) from inbound_messages") == count)

        await until(so_many)

    message = {"device": contact.scenario.device, "from": PHONE, "text": "Hello"}
    async with worker():
        await write(simulator.url, message)
        await heard(1)
    assert await write(simulator.url, {**message, "text": "STOP"}) == [0]
    async with worker():
        await heard(2)
    assert await sources(pool) == ["reply"]
    await gateways.close()


async def test_the_answer_to_a_send_tells_who_will_write(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meta knows the recipient by another number than was dialled, and they said stop before anything told so."""
    pool, other = contact.scenario.pool, phone(7)
    monkeypatch.setenv("META_TOKEN", "a-token")
    yes = {
        "contacts": [{"input": PHONE, "wa_id": other.removeprefix("+"), "user_id": "US.1"}],
        "messages": [{"id": "wamid.1"}],
    }
    async with wire(Reply(200, yes)) as meta:
        options = {"url": meta.url, "phone_number_id": "1", "token_env": "META_TOKEN"}
        await pool.execute("update devices set gateway = 'cloud-api', gateway_options = $1", options)
        await record(contact, inbound("in-1", other, "STOP"))
        assert await sources(pool) == []
        sender = Sender(pool, contact.gateways, learn=partial(learn_from_answer, pool))
        contact.activities = SequenceActivities(pool, sender, DeviceLimiter())
        assert isinstance(await contact.send(), Settled)

    async def learnt() -> bool:
        return bool(await pool.fetchval("select count(*) = 2 from identities")) and await sources(pool) == [
            "reply"
        ]

    await until(learnt, what="the names, and what was said under one of them")
    names = await pool.fetch("select identity, phone from identities order by identity")
    assert [tuple(row) for row in names] == [("user_id:US.1", PHONE), (f"wa_id:{other[1:]}", PHONE)]
    assert await pool.fetchval("select phone from inbound_messages") == PHONE
    await record(contact, inbound("in-2", other, "START", after=60))
    assert await sources(pool) == []
    await pool.execute("insert into leads (phone) values ($1)", other)
    await record(contact, inbound("in-3", other, "STOP", after=120))
    assert await sources(pool) == await sources(pool, other) == ["reply"], "two leads, and one account"


async def test_an_answer_that_repeats_the_phone_needs_no_further_request(contact: Contact) -> None:
    told: list[str] = []

    async def learn(number: str, names: Sequence[str], at: Any) -> None:
        told.append(number)

    sender = Sender(contact.scenario.pool, contact.gateways, learn=learn)
    contact.activities = SequenceActivities(contact.scenario.pool, sender, DeviceLimiter())
    assert isinstance(await contact.send(), Settled)
    assert told == []
