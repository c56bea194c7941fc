"""Every outcome of the send activity, against a real ledger and a real gateway."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from messaging.common.errors import NotFound
from messaging.gateways.base import OutgoingMessage
from messaging.leads.lead import Lead
from messaging.sending import attempts, recording
from messaging.sending.claim_lifetimes import CALL_GRACE, CLAIM_LIFETIME
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sequences.apply import apply_sequences
from messaging.sequences.contract import Replanned
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, SEQUENCE, Contact


async def test_sent_once_however_often_it_is_asked(contact: Contact) -> None:
    outcomes = [await contact.send() for _ in range(3)]
    assert [o.status for o in outcomes if isinstance(o, Settled)] == [MessageStatus.SENT] * 3
    (message,) = await contact.scenario.accepted()
    assert (message["phone"], message["text"]) == (contact.phone, "Hi Aisha")
    # Whoever asks again also learns what comes next.
    assert {o.next.step for o in outcomes if isinstance(o, Settled) and o.next} == {"more"}
    assert all(
        o.next and o.next.due_at >= NOON + timedelta(hours=1) for o in outcomes if isinstance(o, Settled)
    )
    row = await contact.message()
    assert (row["status"], row["content"], row["gateway_message_id"]) == (
        "sent",
        "Hi Aisha",
        message["message_id"],
    )


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionRefusedError("the server is not back yet"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_the_gateway_said_is_not_forgotten_where_postgresql_goes_away(
    contact: Contact, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    await contact.scenario.offer(keys=False, look_up=False)
    settle, errors = Ledger.settle, [error]

    async def interrupted(self: Ledger, *arguments: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return await settle(self, *arguments, **named)

    monkeypatch.setattr(Ledger, "settle", interrupted)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert not errors


async def test_a_message_that_is_not_in_the_ledger_cannot_be_sent(contact: Contact) -> None:
    stranger = uuid4()
    with pytest.raises(NotFound, match=f"^there is no message {stranger}$"):
        await contact.sender.send_stored(stranger)


async def test_many_attempts_at_once_send_once(contact: Contact) -> None:
    await asyncio.gather(*(contact.send() for _ in range(20)))
    assert len(await contact.scenario.requests()) == 1


async def test_killed_before_the_claim_leaves_nothing_behind(contact: Contact) -> None:
    assert await contact.scenario.messages() == []
    assert isinstance(await contact.send(), Settled)


@pytest.mark.parametrize("keys", [True, False])
async def test_killed_after_the_claim(contact: Contact, keys: bool) -> None:
    await contact.scenario.offer(keys=keys, look_up=False)
    await contact.claim()
    early = await contact.send()
    assert isinstance(early, Deferred), "the other attempt may be alive"
    assert early.until == NOON + CLAIM_LIFETIME
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    # Without keys nobody knows whether the dead attempt had reached the gateway, and it is not sent blindly.
    assert outcome.status is (MessageStatus.SENT if keys else MessageStatus.UNCONFIRMED)
    assert len(await contact.scenario.accepted()) == (1 if keys else 0)


@pytest.mark.parametrize(
    ("keys", "look_up", "status"),
    [
        (True, True, MessageStatus.SENT),
        (True, False, MessageStatus.SENT),
        (False, True, MessageStatus.SENT),
        (False, False, MessageStatus.UNCONFIRMED),
    ],
)
async def test_killed_after_the_gateway_accepted(
    contact: Contact, keys: bool, look_up: bool, status: MessageStatus
) -> None:
    await contact.scenario.offer(keys=keys, look_up=look_up)
    claim = await contact.claim()
    ref = contact.ref()
    gateway = await contact.gateways.of(claim.gateway, claim.options)
    await gateway.send(
        OutgoingMessage(
            message_id=sequence_message_id(ref.step_id, ref.phone),
            device_id=ref.device_id,
            phone=ref.phone,
            text="Hi Aisha",
        ),
        timeout=5,
    )
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is status
    assert len(await contact.scenario.accepted()) == 1


async def test_an_attempt_whose_claim_was_taken_records_nothing(contact: Contact) -> None:
    ref = contact.ref()
    message_id = sequence_message_id(ref.step_id, ref.phone)
    await contact.claim()
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    assert isinstance(await contact.send(), Settled)
    ledger = Ledger(contact.scenario.pool)
    assert not await ledger.settle(message_id, "dead/token", MessageStatus.FAILED, contact.now)
    assert not await ledger.release(message_id, "dead/token", "too late")
    assert (await contact.message())["status"] == "sent"


async def test_only_who_holds_the_claim_may_say_what_came_of_it(contact: Contact) -> None:
    """The attempt before wakes up while another one is at the gateway."""
    ref = contact.ref()
    message_id = sequence_message_id(ref.step_id, ref.phone)
    ledger = Ledger(contact.scenario.pool)
    await contact.claim(token="first")
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    await contact.claim(token="second")
    assert not await ledger.settle(message_id, "first", MessageStatus.FAILED, contact.now)
    assert not await ledger.release(message_id, "first", "too late")
    assert not await ledger.doubt(message_id, "first", "too late")
    row = await contact.message()
    assert (row["status"], row["processing_worker_id"]) == ("processing", "second")
    assert await ledger.settle(message_id, "second", MessageStatus.SENT, contact.now)


async def test_a_message_in_doubt_stays_in_doubt_while_the_gateway_is_away(contact: Contact) -> None:
    """That a second attempt was not accepted says nothing of the first."""
    await contact.claim()
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    await contact.scenario.faults({"kind": "rate_limit", "count": 1})
    outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    assert (await contact.message())["status"] == "processing"
    await contact.scenario.offer(keys=False, look_up=False)
    contact.now = outcome.until + CLAIM_LIFETIME
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.UNCONFIRMED


async def test_a_claim_is_given_back_where_its_sequence_cannot_be_read(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway was not called, and need not be asked."""
    await contact.scenario.offer(keys=False, look_up=False)

    async def away(*_: object) -> Any:
        raise ConnectionResetError("the server went away")

    with monkeypatch.context() as patched:
        patched.setattr(Enrollments, "plan_of", away)
        with pytest.raises(ConnectionResetError):
            await contact.send()

    async def given_back() -> bool:
        return (await contact.message())["status"] == "queued"

    await until(given_back)
    assert (await contact.message())["reason"] == "its sequence could not be read: the server went away"
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT


async def test_an_edit_reaches_a_message_that_waits_for_its_slot(contact: Contact) -> None:
    await contact.scenario.pool.execute(
        "update devices set max_delay = 1, next_slot_at = $1", NOON + timedelta(minutes=1)
    )
    assert isinstance(await contact.send(), Deferred)
    await contact.scenario.apply(SEQUENCE.replace("id: hello", "id: hi").replace("Hi {{", "Hello {{"))
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert outcome.next.step == "hi"
    assert (await contact.message())["status"] == "cancelled"


async def test_an_attempt_that_was_suspended_does_not_send(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP between claim and call: the clock goes on, and the attempt has to notice."""
    began = iter([0.0])
    monkeypatch.setattr(attempts, "_age_now", lambda: next(began, CALL_GRACE.total_seconds() + 1))
    outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    assert await contact.scenario.requests() == []
    assert (await contact.message())["status"] == "queued"


@pytest.mark.parametrize(
    ("fault", "keys", "status", "copies"),
    [
        ({"kind": "fail", "after_accepting": True, "count": 1}, True, MessageStatus.SENT, 1),
        ({"kind": "fail", "after_accepting": True, "count": 1}, False, MessageStatus.UNCONFIRMED, 1),
        ({"kind": "fail", "count": 1}, True, MessageStatus.SENT, 1),
        ({"kind": "fail", "count": 1}, False, MessageStatus.UNCONFIRMED, 0),
        ({"kind": "drop", "after_accepting": True, "count": 1}, True, MessageStatus.SENT, 1),
        ({"kind": "drop", "after_accepting": True, "count": 1}, False, MessageStatus.UNCONFIRMED, 1),
        ({"kind": "garble", "count": 1}, True, MessageStatus.SENT, 1),
        ({"kind": "refuse", "count": 1}, True, MessageStatus.FAILED, 0),
        ({"kind": "rate_limit", "retry_after": 30, "count": 1}, True, MessageStatus.SENT, 1),
        ({"kind": "rate_limit", "retry_after": 30, "count": 1}, False, MessageStatus.SENT, 1),
        ({"kind": "offline", "for_seconds": 1}, False, MessageStatus.SENT, 1),
    ],
)
async def test_faults_of_the_gateway(
    contact: Contact, fault: dict[str, object], keys: bool, status: MessageStatus, copies: int
) -> None:
    await contact.scenario.offer(keys=keys, look_up=False)
    await contact.scenario.faults(fault)
    outcome = await contact.send()
    deadline = asyncio.get_running_loop().time() + 20
    while isinstance(outcome, Deferred):
        assert asyncio.get_running_loop().time() < deadline
        assert outcome.reason
        contact.now = outcome.until
        await asyncio.sleep(0.05)
        outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is status
    assert len(await contact.scenario.accepted()) == copies
    assert outcome.next is not None, "what one message came to does not end the sequence"
    if status is not MessageStatus.SENT:
        assert outcome.reason


async def test_look_up_answers_for_a_lost_answer(contact: Contact) -> None:
    await contact.scenario.offer(keys=False, look_up=True)
    await contact.scenario.faults({"kind": "drop", "after_accepting": True, "count": 1})
    outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    assert (await contact.message())["status"] == "processing"
    contact.now = outcome.until + timedelta(seconds=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert len(await contact.scenario.accepted()) == 1


async def test_the_gateways_wish_to_wait_holds_for_the_whole_device(contact: Contact) -> None:
    await contact.scenario.faults({"kind": "rate_limit", "retry_after": 60, "count": 1})
    assert isinstance(await contact.send(), Deferred)
    other = Contact(contact.scenario, contact.gateways, now=contact.now + timedelta(seconds=5))
    await other.enroll(phone(2))
    outcome = await other.send()
    assert isinstance(outcome, Deferred)
    assert outcome.until >= NOON + timedelta(seconds=60)
    assert "asked device" in outcome.reason


async def test_opted_out_is_suppressed_and_never_sent(contact: Contact) -> None:
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SUPPRESSED
    assert await contact.scenario.requests() == []


async def test_opted_out_while_in_doubt_is_not_sent_again(contact: Contact) -> None:
    await contact.scenario.offer(keys=True, look_up=False)
    await contact.claim()
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.UNCONFIRMED
    assert await contact.scenario.requests() == []


async def test_an_edit_that_is_committed_while_a_claim_waits_for_it_is_noticed(contact: Contact) -> None:
    pool, ref = contact.scenario.pool, contact.ref()
    edited = read_sequence(SEQUENCE.replace("Hi", "Good morning"), "test.yaml")
    async with pool.acquire() as editing:
        transaction = editing.transaction()
        await transaction.start()
        await apply_sequences(editing, [edited])
        claiming = asyncio.create_task(
            Ledger(pool).claim_step(
                enrollment_id=ref.enrollment_id,
                step_id=ref.step_id,
                revision=ref.revision,
                message_id=sequence_message_id(ref.step_id, ref.phone),
                token="waits",
                now=contact.now,
            )
        )

        async def waits() -> bool:
            return bool(await pool.fetchval("select exists (select from pg_locks where not granted)"))

        await until(waits)
        await transaction.commit()
    assert (await claiming).outcome == "replanned"  # type: ignore[union-attr]
    assert await contact.scenario.messages() == []


async def test_an_edit_is_noticed_at_the_last_moment(contact: Contact) -> None:
    edited = SEQUENCE.replace("day: 1", "after: 2h").replace("Hi {{", "Hello {{")
    await contact.scenario.apply(edited)
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert outcome.next.due_at == NOON + timedelta(hours=2)
    contact.due, contact.now = outcome.next, outcome.next.due_at
    assert isinstance(await contact.send(), Settled)
    assert [m["text"] for m in await contact.scenario.accepted()] == ["Hello Aisha"]


@pytest.mark.parametrize("what", ["device", "sequence"])
async def test_paused_is_held_and_goes_on(contact: Contact, what: str) -> None:
    table, key = ("devices", contact.scenario.device) if what == "device" else ("sequences", "welcome")
    column = "id" if what == "device" else "name"
    await contact.scenario.pool.execute(f"update {table} set status = 'paused' where {column} = $1", key)
    outcome = await contact.send()
    assert isinstance(outcome, Held)
    assert "is paused" in outcome.reason
    await contact.scenario.pool.execute(f"update {table} set status = 'active' where {column} = $1", key)
    assert isinstance(await contact.send(), Settled)


async def test_a_template_that_fails_is_a_failed_message_with_its_reason(contact: Contact) -> None:
    await contact.scenario.pool.execute("update sequence_steps set text = '{{ name | divided_by: 0 }}'")
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.FAILED
    assert await contact.scenario.requests() == []


async def test_an_unreachable_gateway_is_retried_for_long_and_then_listed(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_ATTEMPTS", 3)
    await contact.scenario.pool.execute(
        "update devices set gateway_options = $1", {"url": "http://127.0.0.1:9"}
    )
    outcome = await contact.send()
    attempts = 1
    while isinstance(outcome, Deferred):
        assert "refuses connections" in outcome.reason
        contact.now = outcome.until
        attempts += 1
        outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert (outcome.status, attempts) == (MessageStatus.FAILED, 3)
    assert outcome.reason is not None
    assert outcome.reason.startswith("gave up after 3 attempts")


async def test_a_message_that_was_sent_is_not_sent_by_another_device(contact: Contact) -> None:
    assert isinstance(await contact.send(), Settled)
    other = await contact.scenario.add_device(device=f"{contact.scenario.device}-b")
    ref = contact.ref()
    await contact.scenario.pool.execute("update sequence_contacts set device_id = $1", other)
    answer = await contact.activities.send_step(ref.model_copy(update={"device_id": other}))
    assert isinstance(answer, Settled)
    assert answer.status is MessageStatus.SENT
    assert len(await contact.scenario.accepted(other)) == 0
    assert len(await contact.scenario.accepted()) == 1


async def test_a_lead_is_stored_with_its_enrollment(contact: Contact) -> None:
    row = await contact.scenario.pool.fetchrow(
        "select name, device_id from leads where phone = $1", contact.phone
    )
    assert row is not None
    assert (row["name"], row["device_id"]) == ("Aisha", contact.scenario.device)
    assert Lead(phone=contact.phone).name == ""
