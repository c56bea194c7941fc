"""What is over is not sent any more, whoever is late, and is settled as expired with the reason."""

from datetime import timedelta
from typing import Any

import pytest

from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.resolutions import send_again
from messaging.sequences.contract import Replanned
from messaging.sequences.store import show_sequence
from rig.people import phone
from tests.support.contact import NOON, Contact
from tests.support.scenario import Scenario
from tests.support.temporal_time import skipping

REMINDER = """
sequence: reminder
timezone: UTC
steps:
  - {id: today, day: 1, at: "13:00", expires_after: 2h, text: "It begins in an hour"}
  - {id: tomorrow, day: 2, at: "13:00", text: "How was it?"}
"""
DUE, OVER = NOON + timedelta(hours=1), NOON + timedelta(hours=3)
SECOND = timedelta(seconds=1)


async def enrolled(contact: Contact, source: str = REMINDER) -> None:
    await contact.scenario.apply(source)
    await contact.enroll(phone(3), "reminder")
    assert contact.due is not None
    assert contact.due.due_at == DUE


async def row_of(contact: Contact) -> dict[str, Any]:
    (row,) = (row for row in await contact.scenario.messages() if row["recipient_phone"] == contact.phone)
    return row


async def test_a_step_goes_out_until_its_end_and_not_from_then_on(contact: Contact) -> None:
    await enrolled(contact)
    contact.now = OVER
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.EXPIRED
    assert outcome.reason == "it was to go out before 2026-03-02 15:00:00 UTC"
    assert outcome.next is not None
    # As if it had gone out when it was due.
    assert (outcome.next.step, outcome.next.due_at) == ("tomorrow", DUE + timedelta(days=1))
    assert (await row_of(contact))["status"] == "expired"
    assert await contact.scenario.requests() == []
    async with contact.scenario.pool.acquire() as connection:
        steps = (await show_sequence(connection, "reminder")).steps
    assert [(step.sent, step.expired) for step in steps] == [(0, 1), (0, 0)]


async def test_a_second_before_its_end_it_is_sent(contact: Contact) -> None:
    await enrolled(contact)
    contact.now = OVER - SECOND
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT


async def test_many_days_late_only_what_has_no_end_goes_out(contact: Contact) -> None:
    await enrolled(contact)
    contact.now = NOON + timedelta(days=5)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    contact.due = outcome.next
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert [message["text"] for message in await contact.scenario.accepted()] == ["How was it?"]


async def test_a_slot_after_the_end_is_not_waited_for(contact: Contact) -> None:
    await enrolled(contact)
    await contact.scenario.add_device(hours="16:00-20:00")
    contact.now = DUE
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.EXPIRED
    assert outcome.reason is not None
    assert outcome.reason.endswith(
        "before 2026-03-02 15:00:00 UTC, and its turn would come at 2026-03-02 16:00:00 UTC"
    )
    free = await contact.scenario.pool.fetchval("select not isfinite(next_slot_at) from devices")
    assert free, "no slot was taken up"


async def test_held_until_its_end_it_is_looked_at_then(contact: Contact) -> None:
    await enrolled(contact)
    await contact.scenario.pool.execute("update devices set status = 'paused'")
    contact.now = DUE
    assert await contact.send() == Held(reason=f"device {contact.scenario.device} is paused", until=OVER)
    contact.now = OVER
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.EXPIRED


@pytest.mark.parametrize("arrived", [True, False])
async def test_in_doubt_and_over_it_is_looked_up_and_not_sent_again(contact: Contact, arrived: bool) -> None:
    await contact.scenario.offer(keys=False, look_up=True)
    await enrolled(contact)
    contact.now = OVER - SECOND
    if arrived:
        await contact.scenario.faults({"kind": "drop", "after_accepting": True, "count": 1})
        assert isinstance(await contact.send(), Deferred)
    else:
        await contact.claim()
    contact.now = OVER + timedelta(minutes=5)
    outcome = await contact.send()
    if not arrived:
        assert isinstance(outcome, Deferred)
        outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is (MessageStatus.SENT if arrived else MessageStatus.EXPIRED)
    assert len(await contact.scenario.requests()) == int(arrived)


async def test_planned_anew_the_end_moves_along(contact: Contact) -> None:
    await enrolled(contact)
    await contact.scenario.add_device(hours="14:00-20:00")
    contact.now = DUE
    assert isinstance(await contact.send(), Deferred)
    await contact.scenario.apply(REMINDER.replace('"13:00", expires_after: 2h', '"18:00", expires_after: 1h'))
    contact.now = OVER
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    contact.due, contact.now = outcome.next, NOON + timedelta(hours=6, minutes=59)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert (await row_of(contact))["expires_at"] == NOON + timedelta(hours=7)


async def test_one_in_doubt_for_good_that_is_over_is_not_sent_again_by_anybody(contact: Contact) -> None:
    await contact.scenario.offer(keys=False, look_up=False)
    await enrolled(contact)
    contact.now = OVER - SECOND
    await contact.claim()
    contact.now = OVER + timedelta(minutes=5)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.UNCONFIRMED
    async with contact.scenario.pool.acquire() as connection:
        assert (await send_again(connection, outcome.message_id)).result == "expired"
    row = await row_of(contact)
    assert (row["status"], row["reason"]) == ("expired", "it was to go out before 2026-03-02 15:00:00 UTC")
    assert await contact.scenario.requests() == []


async def test_held_beyond_its_end_the_contact_goes_on_though_nobody_resumes(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(
        "sequence: short\nsteps:\n  - {id: a, day: 1, expires_after: 1h, text: A}\n  - {id: b, after: 30d, text: B}\n"
    )
    await scenario.pool.execute("update devices set status = 'paused'")
    async with skipping(scenario) as skipper:
        handle = await skipper.enroll("short", phone(5))
        await skipper.sleep(timedelta(hours=1, minutes=1))
        progress = await handle.query("progress", result_type=dict)
    assert (progress["step"], progress["settled"]) == ("b", 1)
    (row,) = await scenario.messages()
    assert row["status"] == "expired"
