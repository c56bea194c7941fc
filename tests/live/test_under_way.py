"""What is answered to an opt-out, a stop, a pause or a cancel is true when it is answered: nothing more begins to be sent."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from messaging.leads.opt_outs import record_opt_out
from messaging.sending.attempts import new_attempt
from messaging.sending.claim_answers import Claim
from messaging.sending.claims import CALL_GRACE, CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.dispatch import FRESH
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.under_way import UnderWay, format_under_way, nothing_begins_any_more
from operations import devices, enrollment, sequences
from rig.people import phone
from rig.waiting import until
from tests.support.contact import Contact
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


def scopes(contact: Contact) -> list[dict[str, str | int]]:
    assert contact.enrolled is not None
    return [
        {"phone": contact.phone},
        {"device": contact.scenario.device},
        {"sequence": "welcome"},
        {"enrollment": contact.enrolled.enrollment_id},
    ]


async def test_an_attempt_that_is_about_to_call_is_waited_for_and_named(contact: Contact) -> None:
    """As if its worker were suspended between claim and call for a while."""
    message = await claimed(contact)
    pool = contact.scenario.pool
    waiting = [asyncio.create_task(nothing_begins_any_more(pool, **scope)) for scope in scopes(contact)]  # type: ignore[arg-type]
    strangers = await asyncio.gather(
        *(
            nothing_begins_any_more(pool, **{name: value})  # type: ignore[arg-type]
            for name, value in {
                "phone": phone(9),
                "device": "other",
                "sequence": "other",
                "enrollment": 10**6,
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
    began = time.monotonic()
    (under_way,) = await nothing_begins_any_more(contact.scenario.pool, phone=contact.phone)
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
        waiting = asyncio.create_task(nothing_begins_any_more(pool, phone=contact.phone))
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
    outcome = await contact.sender.carry_out(attempt, claim)
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
    """An answer that takes two seconds is waited for; one that does not come is named."""
    await live.scenario.add_device()
    await live.scenario.apply(STORY)
    await live.scenario.faults(
        {"kind": "latency", "seconds": 2, "phone": phone(0)},
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
    stopped = await enrollment.stop_contact(live.connection, "story", phone(1))
    assert [(one.what, one.sent) for one in stopped.under_way] == [("story / a", False)]
    paused_sequence = await sequences.pause(live.connection, "story")
    paused_device = await devices.pause(live.connection, live.scenario.device)
    assert {one.phone for one in paused_sequence.under_way} == {phone(1), phone(2)}
    assert {one.phone for one in paused_device.under_way} == {phone(1), phone(2)}


async def test_a_contact_whose_workflow_is_gone_can_be_stopped(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(STORY)
    await live.start_worker()
    await enrollment.enroll(live.connection, "story", phone(0), device=live.scenario.device)

    async def sent() -> bool:
        return len(await live.scenario.accepted()) == 1

    await until(sent)
    await live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(0)}").terminate()
    assert (await enrollment.stop_contact(live.connection, "story", phone(0))).result == "stopped"
    assert await live.active() == 0
