"""What must happen once: a contact moves on once, a place of the day is given back once, a message in doubt is not sent blindly."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from messaging.gateways.webhook_events import Receipt
from messaging.sending.claim_lifetimes import CALL_GRACE, CLAIM_LIFETIME
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.positions import NextPosition
from messaging.sending.receipts import record_receipts
from messaging.sequences.contract import EnrollmentEnd
from messaging.sequences.enrollments import Enrollments
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact


async def tell(contact: Contact, receipt: Receipt) -> int:
    async with contact.scenario.pool.acquire() as connection:
        return await record_receipts(connection, "simulated", [receipt])


async def message_id(contact: Contact) -> UUID:
    return UUID(str((await contact.message())["id"]))


async def position(contact: Contact) -> tuple[object, ...]:
    row = await contact.scenario.pool.fetchrow(
        "select next_step_id, next_due_at, timeline from sequence_contacts where phone = $1", contact.phone
    )
    assert row is not None
    return tuple(row)


async def back_to_the_first_step(contact: Contact, token: str) -> NextPosition:
    """Claims the message; the answer is where the contact stands at that moment."""
    stood = (await contact.claim(token)).enrollment
    return NextPosition(
        timeline=stood.timeline,
        next_step_id=stood.next_step_id,
        next_due_at=stood.next_due_at,
        plan_revision=stood.plan_revision,
    )


async def test_a_late_answer_does_not_move_a_contact_on_a_second_time(contact: Contact) -> None:
    """A receipt has settled the message meanwhile, and the contact has moved on."""
    before = await back_to_the_first_step(contact, "slow")
    message = await message_id(contact)
    assert await tell(contact, Receipt(status="delivered", at=NOON, message_id=message)) == 1
    moved_on = await contact.send()
    assert isinstance(moved_on, Settled)
    assert moved_on.next is not None
    assert moved_on.next.step == "more"
    stands = await position(contact)
    ledger = Ledger(contact.scenario.pool)
    assert await ledger.settle(message, "slow", MessageStatus.SENT, contact.now, position=before)
    assert await position(contact) == stands


async def test_who_has_left_gets_no_next_step_by_an_answer_that_comes_later(contact: Contact) -> None:
    before = await back_to_the_first_step(contact, "slow")
    pool, message = contact.scenario.pool, await message_id(contact)
    end = EnrollmentEnd(enrollment_id=contact.ref().enrollment_id, status="stopped")
    await Enrollments(pool).finish(end, now=contact.now)
    assert await Ledger(pool).settle(message, "slow", MessageStatus.SENT, contact.now, position=before)
    assert (await position(contact))[:2] == (None, None)


async def test_a_message_that_waits_is_closed_when_the_contact_is_past_its_step(contact: Contact) -> None:
    await contact.claim("first")
    pool, message = contact.scenario.pool, await message_id(contact)
    assert await Ledger(pool).release(message, "first", "the gateway is away")
    await pool.execute("update sequence_contacts set timeline = jsonb_set(timeline, '{done}', '[\"hello\"]')")
    outcome = await contact.sender.send_stored(message)
    assert isinstance(outcome, Settled)
    assert (outcome.status, outcome.reason) == (
        MessageStatus.CANCELLED,
        "the contact has moved past the step",
    )
    assert await contact.scenario.requests() == []


async def test_a_receipt_that_teaches_the_id_brings_those_that_came_before_it(contact: Contact) -> None:
    """They named the message by the gateway's ID alone, which nobody knew yet."""
    await contact.claim("slow")
    at = NOON + timedelta(seconds=2)
    assert await tell(contact, Receipt(status="read", at=at, gateway_message_id="wamid.1")) == 0
    ours = Receipt(status="sent", at=NOON, message_id=await message_id(contact), gateway_message_id="wamid.1")
    assert await tell(contact, ours) == 1
    row = await contact.message()
    assert (row["status"], row["delivered_at"], row["read_at"]) == ("sent", at, at)
    assert await contact.scenario.pool.fetchval("select count(*) from early_receipts") == 0


async def test_a_success_of_an_attempt_that_lost_its_claim_counts(contact: Contact) -> None:
    await contact.claim("first")
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    await contact.claim("second")
    ledger, message = Ledger(contact.scenario.pool), await message_id(contact)
    assert not await ledger.settle(
        message, "first", MessageStatus.SENT, contact.now, gateway_message_id="wamid.1", content="Hi"
    )
    row = await contact.message()
    assert (row["status"], row["gateway_message_id"], row["content"]) == ("sent", "wamid.1", "Hi")


async def test_what_is_refused_while_in_doubt_is_unconfirmed(contact: Contact) -> None:
    """That another attempt is refused says nothing of the first."""
    await contact.claim()
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    await contact.scenario.faults({"kind": "refuse"})
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.UNCONFIRMED


async def test_a_lost_answer_is_asked_about_when_the_gateway_has_had_its_time(contact: Contact) -> None:
    await contact.scenario.offer(keys=False, look_up=True)
    await contact.scenario.faults({"kind": "drop", "count": 1})
    in_doubt = await contact.send()
    assert isinstance(in_doubt, Deferred)
    assert in_doubt.until >= NOON + CLAIM_LIFETIME
    contact.now = NOON + timedelta(seconds=5)
    early = await contact.send()
    assert isinstance(early, Deferred)
    assert early.reason == "an earlier attempt may still be sending it"


@pytest.mark.parametrize("how", ["released", "failed"])
async def test_an_earlier_attempt_gives_back_what_is_its_own(contact: Contact, how: str) -> None:
    """Not the place of another day, and not the turn of the attempt that is at the gateway now."""
    pool = contact.scenario.pool
    await pool.execute("update devices set min_delay = 1, max_delay = 1, daily_limit = 5")
    contact.now = datetime.combine(NOON.date(), NOON.time().max, NOON.tzinfo)  # the last moment of the day
    await contact.claim("slow")
    message = await message_id(contact)
    other = Contact(contact.scenario, contact.gateways, now=contact.now + CLAIM_LIFETIME)
    await other.enroll(phone(2))
    await other.claim("next")
    device = "select limit_day, limit_used, in_flight_until from devices"
    before = await pool.fetchrow(device)
    assert before is not None
    assert before["limit_used"] == 1
    ledger = Ledger(pool)
    if how == "released":
        assert await ledger.release(message, "slow", "it was suspended")
    else:
        assert await ledger.settle(message, "slow", MessageStatus.FAILED, other.now)
    assert await pool.fetchrow(device) == before


async def test_two_claims_at_once_of_a_stored_message_do_not_both_get_it(contact: Contact) -> None:
    await contact.claim("first")
    pool, message = contact.scenario.pool, await message_id(contact)
    ledger = Ledger(pool)
    assert await ledger.release(message, "first", "the gateway is away")
    async with pool.acquire() as connection:
        async with connection.transaction():
            answer = await connection.fetchval(
                "select claim_stored_message($1, 'second', interval '15s', '{}', interval '3s', $2)",
                message,
                contact.now,
            )
            assert answer["outcome"] == "claimed"
            racing = asyncio.create_task(ledger.claim_stored(message, "third", now=contact.now))
            await until(lambda: pool.fetchval("select exists (select from pg_locks where not granted)"))
        assert isinstance(await racing, Deferred)


async def test_a_part_that_went_out_counts_for_pace_and_limit(contact: Contact) -> None:
    """The next send keeps its distance from the last part, and a message that is given back keeps its place."""
    pool = contact.scenario.pool
    await pool.execute("update devices set min_delay = 1, max_delay = 1, daily_limit = 5")
    await contact.claim("slow")
    ledger, message = Ledger(pool), await message_id(contact)
    later = contact.now + timedelta(seconds=2)
    assert await ledger.note_parts(message, "slow", 1, now=later)
    row = await pool.fetchrow("select last_send_at, in_flight_until from devices")
    assert row is not None
    assert tuple(row) == (later, later + CALL_GRACE)
    assert await ledger.release(message, "slow", "the second part did not go out")
    assert await pool.fetchval("select limit_used from devices") == 1
    assert (await contact.message())["place_day"] == contact.now.date()
