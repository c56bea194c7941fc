"""An edit or a corrected zone changes the rows of everybody at once; whose workflow is to be told of it is marked there."""

import asyncio
from datetime import timedelta

import pytest

from messaging.common.database import Pool
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Held, Settled
from messaging.sending.positions import NextPosition
from messaging.sending.telling import any_to_signal, count_unplanned
from messaging.sequences import replanning
from messaging.sequences.contract import Replanned
from messaging.sequences.replanning import replan, sequences_of_other_zones
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, SEQUENCE, Contact

LATER = SEQUENCE.replace("after: 1h", "after: 3h")


async def welcome(pool: Pool) -> int:
    number: int = await pool.fetchval("select id from sequences where name = 'welcome'")
    return number


async def rows(pool: Pool) -> list[tuple[str | None, timedelta, bool]]:
    """Of each contact the next step, how long after NOON it is due, and whether its workflow is to be told."""
    found = await pool.fetch(
        "select t.key, c.next_due_at, c.plan_changed_at is not null as to_signal from sequence_contacts c"
        " left join sequence_steps t on t.id = c.next_step_id order by c.id"
    )
    return [(row["key"], row["next_due_at"].replace(microsecond=0) - NOON, row["to_signal"]) for row in found]


async def test_an_edit_is_in_the_rows_at_once_and_marks_whom_it_concerns(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replanning, "PAGE", 2)
    scenario, pool = contact.scenario, contact.scenario.pool
    assert isinstance(await contact.send(), Settled)
    for index in range(2, 6):
        await scenario.enroll("welcome", phone(index), now=NOON)
    sequence, hours = await welcome(pool), timedelta(hours=1)
    before = [("more", hours, False)] + [("hello", 0 * hours, False)] * 4
    assert await rows(pool) == before
    await scenario.apply(SEQUENCE.replace('"More"', '"Even more"'))
    assert await replan(pool, sequence) == 0
    assert await rows(pool) == before, "other words are rendered when they are sent"
    await scenario.apply(LATER)
    assert await replan(pool, sequence) == 1
    assert await rows(pool) == [("more", 3 * hours, True), *before[1:]]
    # Another edit before it was told: it is still to be told, and the second time nothing is counted again.
    await scenario.apply(LATER + "    # no change\n")
    assert await replan(pool, sequence) == 0
    assert await count_unplanned(pool, sequence) == 1
    assert await any_to_signal(pool)
    await scenario.apply(SEQUENCE.replace('"More"', '"More again"'))
    assert await replan(pool, sequence) == 1
    assert await rows(pool) == [("more", hours, True), *before[1:]]
    # Its workflow has heard, and planned anew.
    assert contact.enrolled is not None
    await contact.activities.replan(contact.enrolled.enrollment_id)
    assert await rows(pool) == before
    assert not await any_to_signal(pool)


async def test_who_was_not_told_yet_sends_nothing_by_the_old_plan(contact: Contact) -> None:
    """The zone stands in the row already, so that the revision and the zone alone would let the claim go ahead."""
    scenario, pool = contact.scenario, contact.scenario.pool
    await scenario.apply(
        'sequence: daily\ntimezone: UTC\nsteps:\n  - {id: ten, day: 1, at: "13:00", text: "One o\'clock"}\n'
    )
    await contact.enroll(phone(2), "daily")
    assert contact.due is not None
    assert contact.due.due_at == NOON + timedelta(hours=1)
    await pool.execute("update leads set time_zone = 'America/New_York' where phone = $1", phone(2))
    (sequence,) = await sequences_of_other_zones(pool)
    assert await replan(pool, sequence, zones=True) == 1
    assert await sequences_of_other_zones(pool) == []
    contact.now = NOON + timedelta(hours=1)
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert outcome.next.due_at == NOON + timedelta(hours=6)
    contact.due, contact.now = outcome.next, outcome.next.due_at
    assert isinstance(await contact.send(), Settled)


async def test_what_is_being_sent_is_not_overtaken_and_its_contact_is_told(contact: Contact) -> None:
    pool, zero = contact.scenario.pool, timedelta(0)
    claim = await contact.claim("slow")
    assert claim.enrollment.next_due_at is not None
    await contact.scenario.apply(SEQUENCE.replace("day: 1", 'day: 1\n    at: "14:00"') + "timezone: UTC\n")
    assert await replan(pool, await welcome(pool)) == 0
    assert await rows(pool) == [("hello", zero, True)]
    # It had heard, and asked, while it was sent; and then the attempt settles by the plan that it began with.
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    position = NextPosition(
        timeline=claim.enrollment.timeline,
        next_step_id=claim.enrollment.next_step_id,
        next_due_at=claim.enrollment.next_due_at + timedelta(hours=1),
        plan_revision=claim.enrollment.plan_revision,
    )
    message = (await contact.message())["id"]
    assert await Ledger(pool).settle(message, "slow", MessageStatus.SENT, contact.now, position=position)  # type: ignore[arg-type]
    assert await rows(pool) == [("hello", timedelta(hours=1), True)]


async def test_a_zone_that_is_corrected_while_a_step_is_sent_is_told_of_still(contact: Contact) -> None:
    """The attempt settles by the zone that it began with."""
    pool = contact.scenario.pool
    claim = await contact.claim("slow")
    await pool.execute("update leads set time_zone = 'Asia/Tokyo' where phone = $1", contact.phone)
    assert await replan(pool, await welcome(pool), zones=True) == 0
    position = NextPosition(
        timeline=claim.enrollment.timeline,
        next_step_id=claim.enrollment.next_step_id,
        next_due_at=claim.enrollment.next_due_at,
        plan_revision=claim.enrollment.plan_revision,
    )
    assert await count_unplanned(pool) == 1
    message = (await contact.message())["id"]
    assert await Ledger(pool).settle(message, "slow", MessageStatus.SENT, contact.now, position=position)  # type: ignore[arg-type]
    assert await count_unplanned(pool) == 1
    assert contact.enrolled is not None
    await contact.activities.replan(contact.enrolled.enrollment_id)
    assert await count_unplanned(pool) == 0


async def test_an_enrollment_that_ends_while_its_step_is_left_out_does_not_end_the_edit(
    contact: Contact,
) -> None:
    """An end locks the message and then the contact, an edit the contact and then the message that it leaves out."""
    scenario, pool = contact.scenario, contact.scenario.pool
    settled = await contact.send()
    assert isinstance(settled, Settled)
    assert settled.next is not None
    contact.due, contact.now = settled.next, settled.next.due_at
    await pool.execute("update devices set status = 'paused'")
    assert isinstance(await contact.send(), Held)
    await scenario.apply(
        "sequence: welcome\nsteps:\n"
        '  - {id: more, day: 1, text: "More"}\n  - {id: hello, after: 1h, text: "Hi"}\n'
    )
    async with pool.acquire() as ending, ending.transaction():
        await ending.execute("select from broadcast_messages where reason is not null for no key update")
        edit = asyncio.create_task(replan(pool, await welcome(pool)))

        async def waits() -> bool:
            return bool(await pool.fetchval("select count(*) from pg_locks where not granted"))

        await until(waits)
        await ending.execute("update sequence_contacts set paused_at = clock_timestamp()")
    assert await edit == 1
    assert [row["status"] for row in await scenario.messages()] == ["sent", "cancelled"]
