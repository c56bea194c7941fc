"""What is answered to an opt-out, a stop, a pause or a cancel is true when it is answered: nothing more begins to be sent."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from messaging.leads.opt_outs import record_opt_out
from messaging.sending import under_way
from messaging.sending.attempts import new_attempt
from messaging.sending.claim_answers import Claim
from messaging.sending.claim_lifetimes import CALL_GRACE, CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.dispatch import FRESH
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.under_way import UnderWay, format_under_way, nothing_begins_any_more
from operations import campaigns, contacts, devices, enrollment, opt_outs, sequences
from operations.moves import replace_device
from rig.people import phone
from rig.waiting import until
from tests.support.contact import Contact
from tests.support.frozen import running
from tests.support.live import Live

SOON = 0.5
"""Seconds within which an answer comes where nothing has to be waited for, on a busy machine too."""


async def claimed(contact: Contact, token: str = "alive") -> UUID:
    """An attempt has the contact's first message, since just now."""
    contact.now = await contact.scenario.pool.fetchval("select clock_timestamp()")
    contact.due = await contact.activities.replan(contact.ref().enrollment_id)
    await contact.claim(token)
    ref = contact.ref()
    return sequence_message_id(ref.step_id, ref.phone)


class Watched:
    """A pool that counts the looks at what is claimed."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.looks = 0

    async def fetchrow(self, *query: Any) -> Any:
        row = await self._pool.fetchrow(*query)
        self.looks += 1
        return row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def scopes(contact: Contact) -> list[dict[str, Any]]:
    assert contact.enrolled is not None
    return [
        {"phones": [contact.phone]},
        {"device": contact.scenario.device},
        {"sequence": "welcome"},
        {"enrollments": [contact.enrolled.enrollment_id]},
    ]


async def suppress(contact: Contact) -> None:
    """Of a phone, the messages that its opt-out concerns are waited for."""
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)


async def test_an_attempt_that_is_about_to_call_is_waited_for_and_named(contact: Contact) -> None:
    """As if its worker were suspended between claim and call for a while."""
    message = await claimed(contact)
    pool = contact.scenario.pool
    await suppress(contact)
    watched = [(Watched(pool), scope) for scope in scopes(contact)]
    waiting = [asyncio.create_task(nothing_begins_any_more(one, **scope)) for one, scope in watched]  # type: ignore[arg-type]
    await until(lambda: all(one.looks for one, _ in watched))
    strangers = await asyncio.gather(
        *(
            nothing_begins_any_more(pool, **{name: value})  # type: ignore[arg-type]
            for name, value in {
                "phones": [phone(9)],
                "device": "other",
                "sequence": "other",
                "enrollments": [10**6],
                "campaign": "sale",
            }.items()
        )
    )
    assert strangers == [()] * 5
    assert not any(task.done() for task in waiting)
    assert await Ledger(pool).settle(message, "alive", MessageStatus.SENT, contact.now)
    expected = (UnderWay(message_id=message, phone=contact.phone, what="welcome / hello", sent=True),)
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*waiting) == [expected] * 4
    assert format_under_way(expected) == (
        "; one message (welcome / hello) had been handed to the gateway just before, and went out"
    )


async def test_an_attempt_that_says_nothing_may_not_begin_after_its_grace(contact: Contact) -> None:
    message = await claimed(contact)
    await suppress(contact)
    began = time.monotonic()
    (under_way,) = await nothing_begins_any_more(contact.scenario.pool, phones=[contact.phone])
    assert CALL_GRACE.total_seconds() - 0.5 < time.monotonic() - began < CALL_GRACE.total_seconds() + 2
    assert (under_way.message_id, under_way.sent) == (message, False)
    assert format_under_way((under_way, under_way)) == (
        "; 2 messages are at the gateway just now, and may still arrive"
    )


async def test_what_was_given_back_is_not_named(contact: Contact) -> None:
    message = await claimed(contact)
    waiting = asyncio.create_task(
        nothing_begins_any_more(contact.scenario.pool, device=contact.scenario.device)
    )
    await asyncio.sleep(0)
    assert await Ledger(contact.scenario.pool).release(message, "alive", "too late")
    assert await waiting == ()


async def test_a_claim_that_did_not_see_the_change_is_seen(contact: Contact) -> None:
    """Its transaction is under way when the opt-out is committed, and commits afterwards."""
    pool = contact.scenario.pool
    contact.now = await pool.fetchval("select clock_timestamp()")
    contact.due = await contact.activities.replan(contact.ref().enrollment_id)
    ref = contact.ref()
    message = sequence_message_id(ref.step_id, ref.phone)
    async with pool.acquire() as claiming, pool.acquire() as operator:
        claim = claiming.transaction()
        await claim.start()
        answer = await claiming.fetchval(
            "select claim_step_message($1, $2, $3, $4, 'alive', $5, $6, $7, null)",
            *(ref.enrollment_id, ref.step_id, ref.revision, message),
            *(CLAIM_LIFETIME, longer_lifetimes(), CALL_GRACE),
        )
        assert answer["outcome"] == "claimed"
        await operator.execute("insert into suppressions (phone) values ($1)", contact.phone)
        waiting = asyncio.create_task(nothing_begins_any_more(pool, phones=[contact.phone]))
        await asyncio.sleep(0.3)  # long enough to look, and to see nothing
        assert not waiting.done()
        await claim.commit()
    (under_way,) = await waiting
    assert under_way.message_id == message


async def opted_out(contact: Contact) -> None:
    async with contact.scenario.pool.acquire() as connection:
        await record_opt_out(connection, contact.phone, "opted out")


async def paused(contact: Contact) -> None:
    await contact.scenario.pool.execute("update devices set status = 'paused'")


@pytest.mark.parametrize("change", [opted_out, paused])
async def test_an_attempt_that_was_suspended_looks_once_more_before_its_call(
    contact: Contact, change: Callable[[Contact], Awaitable[None]]
) -> None:
    contact.now = await contact.scenario.pool.fetchval("select clock_timestamp()")
    contact.due = await contact.activities.replan(contact.ref().enrollment_id)
    ref = contact.ref()
    ledger = Ledger(contact.scenario.pool)
    attempt = new_attempt(sequence_message_id(ref.step_id, ref.phone))
    claim = await ledger.claim_step(
        enrollment_id=ref.enrollment_id,
        step_id=ref.step_id,
        revision=ref.revision,
        message_id=attempt.message_id,
        token=attempt.token,
    )
    assert isinstance(claim, Claim)
    await change(contact)
    while attempt.age <= FRESH:
        await asyncio.sleep(0.01)
    outcome = await contact.sender.carry_out(attempt, claim, kind="sequence")
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "it was stopped at the last moment"
    assert await contact.scenario.requests() == []
    if change is opted_out:
        settled = await contact.send()
        assert isinstance(settled, Settled)
        assert settled.status is MessageStatus.SUPPRESSED


async def test_an_opt_out_closes_and_ends_everything_at_once(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update devices set status = 'paused'")
    await contact.send()
    async with pool.acquire() as connection:
        recorded = await record_opt_out(connection, contact.phone, "by phone")
        assert (recorded.changed, recorded.ended) == (True, 1)
        again = await record_opt_out(connection, contact.phone, "by phone")
    assert (again.changed, again.ended, again.workflows) == (False, 0, recorded.workflows)
    row = await contact.message()
    assert (row["status"], row["reason"]) == ("suppressed", "the recipient opted out")
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"


STORY = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
"""


async def test_the_commands_say_what_is_on_its_way(live: Live) -> None:
    """An answer that takes almost three seconds is waited for; one that does not come is named."""
    await live.scenario.add_device()
    await live.scenario.apply(STORY)
    await live.scenario.faults(
        {"kind": "latency", "seconds": 2.8, "phone": phone(0)},
        {"kind": "hang", "phone": phone(1)},
        {"kind": "hang", "phone": phone(2)},
    )
    await live.start_worker()
    for index in range(3):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)

    async def at_the_gateway() -> bool:
        return len(await live.scenario.requests()) == 3

    await until(at_the_gateway)
    code, out, error = await live.run("starter.py", "opt-out", phone(0))
    assert code == 0, error
    assert out == (
        f"{phone(0)} opted out; 1 enrollment ends;"
        " one message (story / a) had been handed to the gateway just before, and went out\n"
    )
    assert len(await live.scenario.accepted()) == 1
    stopped = await contacts.stop(live.connection, "story", phone(1))
    assert [(one.what, one.sent) for one in stopped.under_way] == [("story / a", False)]
    paused_sequence = await sequences.pause(live.connection, "story")
    paused_device = await devices.pause(live.connection, live.scenario.device)
    assert {one.phone for one in paused_sequence.under_way} == {phone(1), phone(2)}
    assert {one.phone for one in paused_device.under_way} == {phone(1), phone(2)}


async def test_every_command_waits_for_an_attempt_that_may_still_begin(live: Live) -> None:
    """One to the contact, or to the campaign's lead, that says nothing: it is waited for, and named, by each of them."""
    scenario, pool, here = live.scenario, live.scenario.pool, live.connection
    await scenario.add_device()
    other = await scenario.add_device(device=f"{scenario.device}-other")
    third = await scenario.add_device(device=f"{scenario.device}-third")
    await scenario.apply(STORY)
    enrolled = await scenario.enroll("story", phone(0))
    assert enrolled.next is not None
    message = sequence_message_id(enrolled.next.step_id, phone(0))
    claim = await Ledger(pool).claim_step(
        enrollment_id=enrolled.enrollment_id,
        step_id=enrolled.next.step_id,
        revision=enrolled.next.revision,
        message_id=message,
        token="silent",
    )
    assert isinstance(claim, Claim)
    await scenario.add_leads(1, first=1, device=other)
    await running(scenario)
    (lead,) = [row["id"] for row in await scenario.messages() if row["recipient_phone"] == phone(1)]
    commands: list[tuple[UUID, Callable[[], Awaitable[Any]]]] = [
        (message, lambda: contacts.pause(here, "story", phone(0))),
        (message, lambda: sequences.pause(here, "story")),
        (message, lambda: devices.pause(here, scenario.device)),
        (message, lambda: replace_device(here, scenario.device, third)),
        (message, lambda: contacts.stop(here, "story", phone(0))),
        (message, lambda: opt_outs.opt_out(here, phone(0))),
        (lead, lambda: campaigns.pause(here, "sale")),
        (lead, lambda: campaigns.cancel(here, "sale")),
    ]
    for one, command in commands:
        may_begin_until = CALL_GRACE + await pool.fetchval(
            "update broadcast_messages set status = 'processing', processing_worker_id = 'silent',"
            " claimed_at = clock_timestamp() - interval '2.6 seconds', answered_at = null where id = $1 returning claimed_at",
            one,
        )
        done = await command()
        assert await pool.fetchval("select clock_timestamp()") >= may_begin_until, done
        assert [(way.message_id, way.sent) for way in done.under_way] == [(one, False)], done


@pytest.mark.parametrize("command", ["opt-out", "stop"])
async def test_what_is_given_back_meanwhile_is_closed_when_it_is_answered(live: Live, command: str) -> None:
    scenario, pool = live.scenario, live.scenario.pool
    await scenario.add_device()
    await scenario.apply(STORY)
    enrolled = await scenario.enroll("story", phone(0))
    assert enrolled.next is not None
    message = sequence_message_id(enrolled.next.step_id, phone(0))
    ledger = Ledger(pool)
    claim = await ledger.claim_step(
        enrollment_id=enrolled.enrollment_id,
        step_id=enrolled.next.step_id,
        revision=enrolled.next.revision,
        message_id=message,
        token="slow",
    )
    assert isinstance(claim, Claim)
    asking: asyncio.Task[object] = asyncio.create_task(
        opt_outs.opt_out(live.connection, phone(0))
        if command == "opt-out"
        else contacts.stop(live.connection, "story", phone(0))
    )

    async def written() -> bool:
        return bool(await pool.fetchval("select ended_at is not null from sequence_contacts"))

    await until(written)
    assert not asking.done()
    assert await ledger.release(message, "slow", "it was too slow")
    await asking
    (row,) = await scenario.messages()
    assert row["status"] == ("suppressed" if command == "opt-out" else "cancelled")


async def test_a_contact_that_is_just_being_enrolled_is_stopped_before_anything_is_sent(live: Live) -> None:
    """Its first task has begun, and cannot hear of the stop any more; its first step is due at once."""
    scenario, pool = live.scenario, live.scenario.pool
    await scenario.add_device()
    await scenario.apply(STORY)
    await live.start_worker()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table leads in share mode")
        await enrollment.enroll(live.connection, "story", phone(0), device=scenario.device, patience=0)

        async def enrolling() -> bool:
            return bool(await pool.fetchval("select exists (select from pg_locks where not granted)"))

        await until(enrolling)
        asking = asyncio.create_task(contacts.stop(live.connection, "story", phone(0)))
        await asyncio.wait([asking], timeout=0.5)  # time for an answer that comes too early
        await transaction.rollback()
    stopped = await asking
    sent = [row["phone"] for row in await scenario.requests()]
    assert stopped.result == "stopped"
    await live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(0)}").result()
    assert [row["phone"] for row in await scenario.requests()] == sent, "nothing begins after the answer"
    assert await pool.fetchval("select status from sequence_contacts") == "stopped"


async def test_whoever_else_writes_for_long_holds_up_no_answer(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim of before has come to its end by then, or may not begin any more."""
    monkeypatch.setattr(under_way, "CALL_GRACE", timedelta(seconds=0.2))
    async with contact.scenario.pool.acquire() as other, other.transaction():
        await other.execute("insert into suppressions (phone) values ($1)", phone(9))
        async with asyncio.timeout(5):
            assert await nothing_begins_any_more(contact.scenario.pool, phones=[contact.phone]) == ()


async def test_a_contact_whose_workflow_is_gone_can_be_stopped(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(STORY)
    await live.start_worker()
    await enrollment.enroll(live.connection, "story", phone(0), device=live.scenario.device)

    async def sent() -> bool:
        return len(await live.scenario.accepted()) == 1

    await until(sent)
    await live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(0)}").terminate()
    assert (await contacts.stop(live.connection, "story", phone(0))).result == "stopped"
    assert await live.active() == 0
