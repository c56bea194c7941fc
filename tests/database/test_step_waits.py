"""Steps that wait for a reply: due as soon as it is recorded, whatever the workflow has heard, and once."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.contact_page import contact_page
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.record import record_inbound
from messaging.reporting.contact import contact_report
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sequences.awaited import release_awaiting
from messaging.sequences.contract import Replanned
from messaging.sequences.effects import effects_of
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from messaging.sequences.next_step import after_settling
from messaging.sequences.replanning import replan
from messaging.times.calendar import Due
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound

PHONE = phone(2)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
WORKFLOW = f"sequence:asking:{PHONE}"
WAITS = (
    "sequence: asking\non_reply: continue\nsteps:\n  - {id: one, day: 1, text: One}\n"
    "  - {id: two, wait_for: {reply: 24h}, text: Two}\n"
    "  - {id: three, after: 1h, text: Three}\n"
)
PASSED = WAITS.replace(
    "  - {id: two", "  - {id: idle, after: 1h, if: {status: customer}, text: Idle}\n  - {id: two"
)
TWICE = WAITS.replace("after: 1h", "wait_for: {reply: 24h}")


async def begin(contact: Contact, source: str = WAITS) -> None:
    """Enrolls, and sends the first step."""
    await contact.scenario.apply(source)
    await contact.enroll(PHONE, "asking")
    await step(contact)


async def step(contact: Contact) -> Settled:
    """The step that is due, now."""
    settled = await contact.send()
    assert isinstance(settled, Settled), settled
    contact.due = settled.next
    return settled


async def wrote(contact: Contact, *messages: InboundMessage) -> list[str]:
    """Records it; the workflows that are signalled."""
    async with contact.scenario.pool.acquire() as connection:
        recorded = await record_inbound(
            connection, "simulated", contact.scenario.device, messages, DEFAULT_KEYWORDS
        )
    return [one.workflow_id for one in recorded.then.affected]


async def planned(contact: Contact) -> Due:
    """What the workflow is answered when it asks."""
    assert contact.enrolled is not None
    contact.due = await contact.activities.replan(contact.enrolled.enrollment_id)
    assert contact.due is not None
    return contact.due


async def to_signal(contact: Contact) -> bool:
    marked: bool = await contact.scenario.pool.fetchval(
        "select plan_changed_at is not null from sequence_contacts where phone = $1", PHONE
    )
    return marked


ANSWER = inbound("in-1", PHONE, "Yes please", after=60)


async def test_a_reply_makes_the_step_due_and_without_one_it_comes_in_the_end(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact)
    due = contact.due
    assert due is not None
    assert (due.step, due.due_at.replace(microsecond=0), due.awaits_reply) == ("two", NOON + 24 * HOUR, True)
    assert due.when.startswith("a reply, or 24h after one, Tue 2026-03-03 12:00")
    report = await contact_report(pool, PHONE, PHONE)
    assert report.enrollments[0].awaits_reply
    assert "two comes as soon as a reply comes, at the latest when it is due" in contact_page(report)
    assert await wrote(contact, ANSWER) == [WORKFLOW]
    assert await to_signal(contact), "until it has planned"
    due = await planned(contact)
    assert (due.due_at, due.awaits_reply) == (NOON + MINUTE, False)
    assert due.when == "a reply came, Mon 2026-03-02 12:01 UTC"
    assert not (await contact_report(pool, PHONE, PHONE)).enrollments[0].awaits_reply
    contact.now = NOON + MINUTE + 2 * SECOND
    settled = await step(contact)
    assert settled.status is MessageStatus.SENT
    assert settled.next is not None
    assert settled.next.step == "three"
    assert settled.next.due_at - contact.now - HOUR < SECOND, "as after any step"
    assert await wrote(contact, ANSWER) == []


async def test_who_does_not_reply_gets_the_step_in_the_end(contact: Contact) -> None:
    await begin(contact)
    contact.now = NOON + 24 * HOUR + MINUTE
    assert (await step(contact)).status is MessageStatus.SENT
    assert contact.due is not None
    assert contact.due.step == "three"


async def test_a_workflow_that_was_not_told_sends_by_no_old_plan(contact: Contact) -> None:
    """Its timer ends with the wait, and the claim has it plan anew."""
    await begin(contact)
    await wrote(contact, ANSWER)
    contact.now = NOON + 24 * HOUR + MINUTE
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert outcome.next is not None
    assert outcome.next.due_at == NOON + MINUTE
    contact.due = outcome.next
    assert (await step(contact)).status is MessageStatus.SENT


async def test_a_reply_while_the_message_before_is_under_way_counts(contact: Contact) -> None:
    pool = contact.scenario.pool
    await contact.scenario.apply(WAITS)
    await contact.enroll(PHONE, "asking")
    claim = await contact.claim("slow")
    assert await wrote(contact, ANSWER) == [], "it is not the next step yet"
    # The attempt settles, and dies before it has asked once more.
    plan = await Enrollments(pool).plan_of(claim.enrollment.sequence_id, claim.enrollment.plan_revision)
    position, due = after_settling(
        plan,
        claim.enrollment.timeline,
        "one",
        NOON,
        NOON + 2 * MINUTE,
        claim.hours,
        phone=PHONE,
        device_id=claim.device_id,
    )
    assert due is not None
    assert due.due_at == NOON + 2 * MINUTE + 24 * HOUR
    message = sequence_message_id(contact.ref().step_id, PHONE)
    await Ledger(pool).settle(message, "slow", MessageStatus.SENT, NOON + 2 * MINUTE, position=position)
    assert await to_signal(contact)
    assert (await planned(contact)).due_at == NOON + 2 * MINUTE, "not before the step before"
    assert not await to_signal(contact)


async def test_the_answer_of_the_send_knows_a_reply_that_came_meanwhile(contact: Contact) -> None:
    """In doubt, it had arrived: the reply came before anybody knew."""
    await contact.scenario.offer(keys=True, look_up=True)
    await contact.scenario.apply(WAITS)
    await contact.enroll(PHONE, "asking")
    await contact.scenario.faults({"kind": "drop", "after_accepting": True, "count": 1})
    assert isinstance(await contact.send(), Deferred)
    await wrote(contact, ANSWER)
    contact.now = NOON + 5 * MINUTE
    settled = await step(contact)
    assert settled.status is MessageStatus.SENT
    assert settled.next is not None
    assert settled.next.due_at <= contact.now + SECOND
    assert not settled.next.awaits_reply
    assert not await to_signal(contact)


async def test_a_reply_and_the_settling_of_the_message_before_do_not_miss_each_other(
    contact: Contact,
) -> None:
    pool = contact.scenario.pool
    await contact.scenario.apply(WAITS)
    await contact.enroll(PHONE, "asking")
    claim = await contact.claim("slow")
    plan = await Enrollments(pool).plan_of(claim.enrollment.sequence_id, claim.enrollment.plan_revision)
    position, _ = after_settling(
        plan,
        claim.enrollment.timeline,
        "one",
        NOON,
        NOON,
        claim.hours,
        phone=PHONE,
        device_id=claim.device_id,
    )
    message = sequence_message_id(contact.ref().step_id, PHONE)

    async def waits() -> bool:
        return bool(await pool.fetchval("select count(*) from pg_locks where not granted"))

    # The reply is first, and has not been committed when the attempt settles.
    async with pool.acquire() as replying, replying.transaction():
        await replying.execute(
            "insert into inbound_messages (device_id, gateway_message_id, kind, phone, text, meaning, sent_at)"
            " values ($1, 'in-1', 'text', $2, 'Yes', 'none', $3)",
            *(contact.scenario.device, PHONE, NOON + SECOND),
        )
        assert await release_awaiting(replying, [PHONE]) == []
        settling = asyncio.create_task(
            Ledger(pool).settle(message, "slow", MessageStatus.SENT, NOON, position=position)
        )
        await until(waits)
    await settling
    assert await to_signal(contact)
    # The attempt is first.
    await pool.execute("delete from inbound_messages")
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    async with pool.acquire() as settling_too, settling_too.transaction():
        await settling_too.execute(
            "update sequence_contacts set signalled_at = now() where phone = $1", PHONE
        )
        replied = asyncio.create_task(wrote(contact, ANSWER))
        await until(waits)
    assert len(await replied) == 1
    assert await to_signal(contact)


async def test_one_reply_releases_one_step(contact: Contact) -> None:
    """Not also the next one that waits, though times are given in whole seconds and both were in the same second."""
    pool = contact.scenario.pool
    await begin(contact, TWICE)
    await wrote(contact, ANSWER)
    await pool.execute("update inbound_messages set received_at = sent_at + interval '0.1 s'")
    await planned(contact)
    contact.now = NOON + MINUTE + timedelta(milliseconds=700)
    assert (await step(contact)).status is MessageStatus.SENT
    assert contact.due is not None
    assert (contact.due.step, contact.due.awaits_reply) == ("three", True)
    assert contact.due.due_at - contact.now > 23 * HOUR
    # What was sent before, and only arrives now, is none to it either; unless it quotes it.
    assert await wrote(contact, inbound("in-2", PHONE, "And?", after=50)) == []
    assert (await planned(contact)).awaits_reply
    last = (await contact.scenario.messages())[-1]["gateway_message_id"]
    assert len(await wrote(contact, inbound("in-3", PHONE, "To this!", after=50, answers=last))) == 1
    assert (await planned(contact)).due_at <= contact.now + SECOND


async def test_a_reply_to_what_went_out_last_counts_if_a_step_between_was_passed_over(
    contact: Contact,
) -> None:
    await begin(contact, PASSED)
    await wrote(contact, ANSWER)
    assert not await to_signal(contact), "another step is next"
    assert contact.due is not None
    contact.now = contact.due.due_at + MINUTE
    passed = await step(contact)
    assert passed.status is MessageStatus.CANCELLED
    assert passed.next is not None
    assert passed.next.step == "two"
    assert passed.next.due_at < contact.now


async def test_an_edit_knows_the_replies_that_have_come(contact: Contact) -> None:
    pool = contact.scenario.pool
    contact.now = datetime.now(UTC).replace(microsecond=0) - HOUR
    replied_at = contact.now + MINUTE
    await begin(contact, WAITS.replace("wait_for: {reply: 24h}", "after: 24h"))
    await wrote(contact, ANSWER.model_copy(update={"at": replied_at}))
    async with pool.acquire() as connection:
        (effects,) = await effects_of(connection, [read_sequence(WAITS, "a.yaml")])
        assert effects.already_due == {"two": 1}
        await contact.scenario.apply(WAITS)
        sequence = await connection.fetchval("select id from sequences where name = 'asking'")
    assert await replan(pool, sequence) == 1
    assert await to_signal(contact)
    due = await pool.fetchval("select next_due_at from sequence_contacts where phone = $1", PHONE)
    assert due == replied_at
    # And back: it waits as planned, whether a reply has come or not.
    await contact.scenario.apply(WAITS.replace("wait_for: {reply: 24h}", "after: 24h"))
    await replan(pool, sequence)
    assert (await planned(contact)).due_at - replied_at > 23 * HOUR


async def test_after_a_step_that_waited_and_was_skipped_the_next_counts_from_now(contact: Contact) -> None:
    await begin(contact)
    assert contact.enrolled is not None
    contact.now = NOON + 2 * HOUR
    assert await Enrollments(contact.scenario.pool).skip(
        contact.enrolled.enrollment_id, "two", now=contact.now
    )
    assert (await planned(contact)).due_at == NOON + 3 * HOUR


@pytest.mark.parametrize(("late", "status"), [(HOUR, MessageStatus.SENT), (3 * HOUR, MessageStatus.EXPIRED)])
async def test_it_expires_so_long_after_the_reply(
    contact: Contact, late: timedelta, status: MessageStatus
) -> None:
    await begin(contact, WAITS.replace("text: Two", "expires_after: 2h, text: Two"))
    await wrote(contact, ANSWER)
    await planned(contact)
    contact.now = NOON + MINUTE + late
    assert (await step(contact)).status is status


async def test_sending_hours_and_conditions_hold_for_it_too(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, WAITS.replace("text: Two", "if: {replied: true}, text: Two"))
    await pool.execute("update devices set opens_at = '08:00', closes_at = '12:00'")
    await wrote(contact, ANSWER)
    await planned(contact)
    contact.now = NOON + MINUTE
    deferred = await contact.send()
    assert isinstance(deferred, Deferred)
    assert deferred.until == NOON + 20 * HOUR
    contact.now = deferred.until
    assert (await step(contact)).status is MessageStatus.SENT


LATER = WAITS.replace("wait_for: {reply: 24h}", "after: 1h")
ASKS_LAST = LATER.replace("text: Three", "if: {replied: false}, text: Three")


@pytest.mark.parametrize(
    ("source", "sends", "paused"),
    [
        (WAITS, 1, False),
        (WAITS, 0, False),  # the message before is under way
        (WAITS, 2, True),
        (PASSED, 1, True),  # another step comes before the one that waits
        (WAITS.replace("text: One", "text: One, on_reply: pause"), 1, True),  # the file says so
        (LATER, 1, True),
        (ASKS_LAST, 1, False),
        (ASKS_LAST, 0, False),
        (LATER.replace("text: Two", "if: {replied: false}, text: Two"), 2, True),
    ],
)
async def test_a_reply_that_the_sequence_expects_does_not_pause_it(
    contact: Contact, source: str, sends: int, paused: bool
) -> None:
    """Unless the file has a rule for it."""
    await contact.scenario.apply(source.replace("on_reply: continue\n", ""))
    await contact.enroll(PHONE, "asking")
    for _ in range(sends):
        await step(contact)
        assert contact.due is not None
        contact.now = contact.due.due_at
    if sends == 0:
        await contact.claim()
    await wrote(contact, ANSWER.model_copy(update={"at": contact.now + SECOND}))
    reason = await contact.scenario.pool.fetchval(
        "select paused_reason from sequence_contacts where phone = $1", PHONE
    )
    assert reason == ('answered: "Yes please"' if paused else None)


async def test_a_reply_is_acknowledged_when_no_step_that_asks_for_it_can_begin(contact: Contact) -> None:
    """The webhook's answer waits for the sends of these enrollments."""
    await begin(contact, ASKS_LAST)
    assert await wrote(contact, ANSWER) == [], "another step is next"
    assert contact.due is not None
    contact.now = contact.due.due_at
    await step(contact)
    assert await wrote(contact, inbound("in-2", PHONE, "And?", after=3700)) == [WORKFLOW]


async def test_start_is_a_reply_too(contact: Contact) -> None:
    await begin(contact)
    assert await wrote(contact, inbound("in-1", PHONE, "START", after=60)) == [WORKFLOW]
    assert (await planned(contact)).due_at == NOON + MINUTE


async def test_a_reply_whose_sender_becomes_known_later_counts_then(contact: Contact) -> None:
    await begin(contact)
    assert await wrote(contact, inbound("in-1", None, "Yes", after=60, identities=("lid:7",))) == []
    known = inbound("in-2", PHONE, None, after=90, kind="reaction", identities=("lid:7",))
    assert await wrote(contact, known) == [WORKFLOW]
    assert (await planned(contact)).due_at == NOON + MINUTE


EXAMPLE = re.compile(r"```yaml\n(sequence: free-sample\n.*?)```", re.DOTALL)
"""In docs/sequences.md."""


@pytest.mark.parametrize(
    ("replies_after", "city", "gets"),
    [
        (10 * MINUTE, "KL", [("offer", 0), ("thanks", 0), ("shop", 158)]),
        (None, "kuala lumpur", [("offer", 0), ("nudge", 24), ("shop", 158)]),
        (30 * HOUR, "KL", [("offer", 0), ("nudge", 24)]),  # whose reply nothing waits for is paused
    ],
)
async def test_the_example_of_the_guide(
    contact: Contact, replies_after: timedelta | None, city: str, gets: list[tuple[str, int]]
) -> None:
    """What a lead gets, and after how many hours."""
    pool = contact.scenario.pool
    found = EXAMPLE.search((Path(__file__).parents[2] / "docs" / "sequences.md").read_text())
    assert found is not None
    await contact.scenario.apply(found[1])
    await contact.enroll(PHONE, "free-sample")
    await pool.execute("update leads set attributes = $1 where phone = $2", {"city": city}, PHONE)
    while contact.due is not None:
        if replies_after is not None and contact.due.due_at > NOON + replies_after:
            await wrote(contact, ANSWER.model_copy(update={"at": NOON + replies_after}))
            replies_after = None
            await planned(contact)
        contact.now = contact.due.due_at
        if contact.due.paused:
            break
        await step(contact)
    rows = await pool.fetch(
        "select t.key, m.sent_at from broadcast_messages m join sequence_steps t on t.id = m.sequence_stepid"
        " where m.status = 'sent' order by m.sent_at"
    )
    assert [(row["key"], (row["sent_at"] - NOON) // HOUR) for row in rows] == gets
