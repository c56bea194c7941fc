"""A contact whose time zone was corrected follows the new one from its next step on, whoever corrected it."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from messaging.sending.outcomes import Settled
from messaging.sequences.contract import Replanned
from operations import campaigns
from operations.leads import correct_time_zone
from operations.schedule import RECOVERY
from rig.people import phone
from rig.waiting import until
from tests.support.contact import Contact
from tests.support.live import Live
from tests.support.temporal_time import skipping

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAILY = """
sequence: daily
timezone: Asia/Kuala_Lumpur
steps:
  - {id: hello, day: 1, text: "Hello"}
  - {id: morning, day: 2, at: "10:00", text: "Good morning"}
  - {id: third, day: 3, at: "10:00", text: "Good morning again"}
"""
OTHER = "sequence: other\nsteps:\n  - {id: one, day: 1, text: One}\n"
TOKYO, LONDON = "Asia/Tokyo", "Europe/London"
TEN_IN_TOKYO, TEN_IN_LONDON = MONDAY + timedelta(days=1, hours=1), MONDAY + timedelta(days=1, hours=10)


async def in_tokyo(contact: Contact) -> None:
    await contact.scenario.pool.execute("update leads set time_zone = $1", TOKYO)


async def sequence_in_london(contact: Contact) -> None:
    await contact.scenario.apply(DAILY.replace("Asia/Kuala_Lumpur", LONDON))


async def enrolled(contact: Contact) -> None:
    """Enrolled on Monday at 09:00 in Kuala Lumpur, and greeted: ten o'clock of Tuesday there comes next."""
    contact.now = MONDAY + timedelta(hours=1)
    await contact.scenario.apply(DAILY)
    await contact.enroll(phone(7), "daily")
    greeted = await contact.send()
    assert isinstance(greeted, Settled)
    contact.due = greeted.next
    assert contact.due is not None
    assert contact.due.due_at == MONDAY + timedelta(days=1, hours=2)


@pytest.mark.parametrize(
    ("correct", "expected"), [(in_tokyo, TEN_IN_TOKYO), (sequence_in_london, TEN_IN_LONDON)]
)
async def test_a_step_is_not_sent_by_the_clocks_of_a_zone_that_was_corrected(
    contact: Contact, correct: object, expected: datetime
) -> None:
    await enrolled(contact)
    await correct(contact)  # type: ignore[operator]
    contact.now = MONDAY + timedelta(days=1, hours=2)
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert (outcome.next.step, outcome.next.due_at) == ("morning", expected)
    contact.due, contact.now = outcome.next, max(expected, contact.now)
    settled = await contact.send()
    assert isinstance(settled, Settled)
    assert settled.next is not None
    assert settled.next.due_at == expected + timedelta(days=1)
    zone = await contact.scenario.pool.fetchval(
        "select timeline ->> 'zone' from sequence_contacts where phone = $1", phone(7)
    )
    assert settled.next.when.endswith(zone)


async def test_a_message_in_doubt_is_finished_and_the_next_one_follows(contact: Contact) -> None:
    await contact.scenario.offer(keys=True, look_up=False)
    await enrolled(contact)
    contact.now = MONDAY + timedelta(days=1, hours=2)
    await contact.claim()
    await in_tokyo(contact)
    contact.now += timedelta(minutes=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.next is not None
    assert outcome.next.due_at == TEN_IN_TOKYO + timedelta(days=1)


async def test_an_enrollment_that_corrects_the_zone_wakes_the_persons_other_contacts(
    contact: Contact,
) -> None:
    """The step comes earlier in the new zone: the timer that was set for the old one would be too late."""
    scenario = contact.scenario
    await scenario.apply(DAILY)
    await scenario.apply(OTHER)
    async with skipping(scenario) as skipper:
        asleep = await skipper.enroll("daily", phone(8))
        await skipper.sleep(timedelta(minutes=5))
        await (await skipper.enroll("other", phone(8), time_zone=TOKYO)).result()
        await asleep.result()
    rows = await scenario.pool.fetch(
        "select m.sent_at at time zone 'Asia/Tokyo' as there from broadcast_messages m"
        " join sequence_steps t on t.id = m.sequence_stepid where t.key in ('morning', 'third') and m.recipient_phone = $1",
        phone(8),
    )
    assert [row["there"].strftime("%H:%M") for row in rows] == ["10:00", "10:00"]


async def test_a_campaign_at_everybodys_own_time_starts_with_a_zone_that_was_corrected_to_an_earlier_one(
    live: Live,
) -> None:
    """Its workflow sleeps until the first of the zones that it knows; the lead's own time comes hours before."""
    await live.scenario.add_device()
    await live.scenario.add_leads(1)
    await live.scenario.pool.execute("update leads set time_zone = $1", LONDON)
    there = datetime.now(ZoneInfo(TOKYO)) + timedelta(seconds=2)
    await live.scenario.apply_campaign(
        "campaign: own\ntarget: {status: all}\ntimezone: recipient\nif_passed: send\ntext: Good morning\n"
        f"scheduled_at: {there:%Y-%m-%d %H:%M:%S}\n"
    )
    await live.start_worker()
    await campaigns.start(live.connection, "own")

    async def asleep() -> bool:
        return bool(await live.scenario.pool.fetchval("select seen_at = updated_at from campaigns"))

    await until(asleep)
    await correct_time_zone(live.connection, phone(0), TOKYO)

    async def sent() -> bool:
        await live.connection.temporal.get_schedule_handle(RECOVERY).trigger()
        await asyncio.sleep(0.5)  # between two looks, so that not hundreds are under way
        return [row["status"] for row in await live.scenario.messages()] == ["sent"]

    await until(sent)
    (message,) = await live.scenario.accepted()
    moment = datetime.fromisoformat(message["received_at"])
    assert timedelta(0) <= moment - there.replace(microsecond=0) < timedelta(hours=1)
