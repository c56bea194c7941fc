"""Messages that were claimed, and whose workflow has gone on or is gone: each is found, and settled by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.recovery import RecoveryActivities
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.common.errors import Conflict
from messaging.gateways.base import OutgoingMessage
from messaging.reporting.audit import stuck
from messaging.reporting.messages import list_messages
from messaging.reporting.status import status_report
from messaging.sending.claim_answers import Claim
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, MessageRef, Settled
from messaging.sending.recovery import abandoned, close_unwanted, forgotten_leads
from messaging.sending.resolutions import resolve_as_sent, send_again
from messaging.sequences.contract import EnrollmentEnd
from messaging.sequences.enrollments import Enrollments
from operations import campaigns, contacts, enrollment, opt_outs
from operations.audit import audit
from operations.schedule import RECOVERY
from rig.people import phone
from rig.waiting import until
from tests.support.contact import SEQUENCE, Contact
from tests.support.live import Live
from tests.support.scenario import Scenario

OVER = CLAIM_LIFETIME + timedelta(seconds=6)


async def opted_out(contact: Contact) -> None:
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    await ended(contact, "opted_out")


async def stopped(contact: Contact) -> None:
    await ended(contact, "stopped")


async def ended(contact: Contact, status: str) -> None:
    assert contact.enrolled is not None
    end = EnrollmentEnd.model_validate({"enrollment_id": contact.enrolled.enrollment_id, "status": status})
    await Enrollments(contact.scenario.pool).finish(end, now=contact.now)


async def skipped(contact: Contact) -> None:
    ref = contact.ref()
    contact.now += CLAIM_LIFETIME  # while an attempt holds it, it cannot be skipped
    await Enrollments(contact.scenario.pool).skip(ref.enrollment_id, "hello", now=contact.now)


async def step_removed(contact: Contact) -> None:
    await contact.scenario.apply(SEQUENCE.replace("id: hello", "id: other").replace("Hi {{", "Hello {{"))
    due = await Enrollments(contact.scenario.pool).replan(contact.ref().enrollment_id, now=contact.now)
    assert due is not None
    assert due.step == "other"


ENDINGS: dict[str, Callable[[Contact], Awaitable[None]]] = {
    "opted out": opted_out,
    "stopped": stopped,
    "skipped": skipped,
    "step removed": step_removed,
}


async def found(contact: Contact) -> list[MessageRef]:
    return await abandoned(contact.scenario.pool, now=contact.now)


async def recovered(contact: Contact, message_id: UUID) -> Settled:
    """What the workflow of a message that was found does."""
    for _ in range(3):
        outcome = await contact.sender.send_stored(message_id)
        if isinstance(outcome, Settled):
            return outcome
        assert isinstance(outcome, Deferred)
        contact.now = outcome.until
    raise AssertionError("it was not settled")


async def hand_in(contact: Contact, claim: Claim, message_id: UUID) -> None:
    """The attempt reaches the gateway before it dies."""
    gateway = await contact.gateways.of(claim.gateway, claim.options)
    message = OutgoingMessage(
        message_id=message_id, device_id=claim.device_id, phone=contact.phone, text="Hi Aisha"
    )
    await gateway.send(message, timeout=5)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("keys", "look_up", "arrived", "status"),
    [
        (True, True, True, "sent"),
        (True, True, False, "nothing"),
        (False, True, True, "sent"),
        (False, True, False, "nothing"),
        (True, False, True, "unconfirmed"),
        (False, False, False, "unconfirmed"),
    ],
)
async def test_a_message_in_doubt_outlives_its_contact_and_is_settled(
    contact: Contact, ending: str, keys: bool, look_up: bool, arrived: bool, status: str
) -> None:
    await contact.scenario.offer(keys=keys, look_up=look_up)
    claim = await contact.claim()
    message_id = UUID(str((await contact.message())["id"]))
    if arrived:
        await hand_in(contact, claim, message_id)
    await ENDINGS[ending](contact)
    row = await contact.message()
    assert row["status"] == "processing", "its attempt may live, and its word counts"
    if ending != "skipped":
        assert await found(contact) == []
    contact.now += OVER
    (ref,) = await found(contact)
    assert (ref.message_id, ref.what) == (message_id, "welcome / hello")
    if status == "nothing":
        status = "suppressed" if ending == "opted out" else "cancelled"
    assert (await recovered(contact, ref.message_id)).status.value == status
    assert len(await contact.scenario.accepted()) == arrived, "nothing is sent after the end"
    assert len(await contact.scenario.requests()) == arrived
    reason = (await contact.message())["reason"]
    assert reason is not None or status == "sent"
    if (keys, look_up) == (True, False):
        assert "while it was being sent" in str(reason)
    assert await found(contact) == []


async def test_the_word_of_a_living_attempt_counts_after_the_end(contact: Contact) -> None:
    await contact.claim(token="alive")
    message_id = UUID(str((await contact.message())["id"]))
    await stopped(contact)
    ledger = Ledger(contact.scenario.pool)
    assert await ledger.settle(message_id, "alive", MessageStatus.SENT, contact.now)
    contact.now += OVER
    assert await found(contact) == []
    assert (await contact.message())["status"] == "sent"


async def test_what_is_to_find_out_waits_for_no_slot_and_takes_none(contact: Contact) -> None:
    """The device is closed, paused and blocked: nothing is sent through it, and a question may be asked."""
    await contact.claim()
    await contact.scenario.pool.execute(
        "update devices set max_delay = 60, min_delay = 30, next_slot_at = $1, waits_until = $1,"
        " status = 'paused', opens_at = '03:00', closes_at = '04:00'",
        contact.now + timedelta(days=1),
    )
    await stopped(contact)
    contact.now += OVER
    before = await contact.scenario.pool.fetchrow("select * from devices")
    (ref,) = await found(contact)
    assert (await recovered(contact, ref.message_id)).status is MessageStatus.CANCELLED
    assert await contact.scenario.pool.fetchrow("select * from devices") == before


async def test_an_edit_does_not_overtake_a_step_that_was_begun(contact: Contact) -> None:
    """What was begun is finished first; a step that was put before it does not push it aside."""
    await contact.claim()
    step = "  - {id: new, day: 1, text: New}\n  - id: hello\n"
    await contact.scenario.apply(SEQUENCE.replace("  - id: hello\n", step))
    contact.due = await Enrollments(contact.scenario.pool).replan(
        contact.ref().enrollment_id, now=contact.now
    )
    assert contact.due is not None
    assert contact.due.step == "hello"
    contact.now += OVER
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT


async def test_a_message_whose_workflow_is_gone_is_found_after_a_while(contact: Contact) -> None:
    """It is still wanted, so its own workflow's turn comes first; one that waits for a hold or a slot is left alone."""
    await contact.claim()
    contact.now += OVER
    assert await found(contact) == []
    contact.now += timedelta(minutes=2)
    await contact.scenario.pool.execute("update devices set status = 'paused'")
    assert await found(contact) == []
    await contact.scenario.pool.execute("update devices set status = 'active'")
    await contact.scenario.pool.execute("update broadcast_messages set slot_at = $1", contact.now)
    assert await found(contact) == []
    await contact.scenario.pool.execute("update broadcast_messages set slot_at = null")
    (ref,) = await found(contact)
    assert (await recovered(contact, ref.message_id)).status is MessageStatus.SENT
    assert len(await contact.scenario.accepted()) == 1


async def test_what_nobody_is_at_is_listed_and_can_be_resolved_by_hand(contact: Contact) -> None:
    pool = contact.scenario.pool
    contact.now = await pool.fetchval("select clock_timestamp()")
    contact.due = await Enrollments(pool).replan(contact.ref().enrollment_id, now=contact.now)
    await contact.claim()
    message_id = UUID(str((await contact.message())["id"]))
    await stopped(contact)
    async with pool.acquire() as connection:
        with pytest.raises(Conflict, match=r"is being sent just now: ask again in \d+ seconds"):
            await resolve_as_sent(connection, message_id)
        assert await list_messages(pool, [MessageStatus.UNCONFIRMED], 10) == []
        await pool.execute(
            "update broadcast_messages set claimed_at = claimed_at - interval '1 hour',"
            " updated_at = updated_at - interval '1 hour'"
        )
        (listed,) = await list_messages(pool, [MessageStatus.UNCONFIRMED], 10)
        assert listed.id == message_id
        assert any("1 message is in doubt" in line for line in (await status_report(pool)).attention)
        assert [str(message_id) in line for line in await stuck(pool)] == [True]
        assert (await send_again(connection, message_id)).result == "sending again"
    outcome = await recovered(contact, message_id)
    assert outcome.status is MessageStatus.SENT
    assert await stuck(pool) == []


async def test_who_has_opted_out_is_not_said_to_be_sent_to_again(contact: Contact) -> None:
    await contact.claim()
    message_id = UUID(str((await contact.message())["id"]))
    await contact.scenario.pool.execute("update broadcast_messages set status = 'unconfirmed'")
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    async with contact.scenario.pool.acquire() as connection:
        with pytest.raises(Conflict, match="has opted out: nothing is sent"):
            await send_again(connection, message_id)


async def test_what_waits_though_nobody_wants_it_is_closed(contact: Contact) -> None:
    """An attempt gave it back after the end, and no workflow is left to ask."""
    pool = contact.scenario.pool
    await pool.execute("update devices set status = 'paused'")
    await contact.send()
    assert await close_unwanted(pool) == 0
    await pool.execute("update broadcast_messages set updated_at = updated_at - interval '1 hour'")
    assert not any("no worker is at them" in line for line in (await status_report(pool)).attention)
    await pool.execute("update devices set status = 'active'")
    assert any("1 message has waited" in line for line in (await status_report(pool)).attention)
    await pool.execute(
        "update sequence_contacts set status = 'stopped', ended_at = now(), next_step_id = null"
    )
    assert await close_unwanted(pool) == 1
    row = await contact.message()
    assert (row["status"], row["reason"]) == ("cancelled", "the enrollment had ended")


async def test_a_lead_whose_workflow_is_gone_gets_another(scenario: Scenario) -> None:
    """Its slot has come and gone; of a campaign that is paused it is not asked for."""
    await scenario.add_device()
    await scenario.add_leads(2)
    await scenario.apply_campaign("campaign: sale\ntarget: {niche: VITAC}\ntext: Hi\n")
    async with scenario.pool.acquire() as connection:
        _, plan = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, plan.campaign_id, now=None, shard_size=100)
    assert await forgotten_leads(scenario.pool, now=None) == [], "nobody has begun with them"
    now = await scenario.pool.fetchval(
        "update broadcast_messages set status = 'queued', slot_at = updated_at where recipient_phone = $1"
        " returning updated_at",
        phone(1),
    )
    assert await forgotten_leads(scenario.pool, now=now + timedelta(minutes=1)) == []
    (lead,) = await forgotten_leads(scenario.pool, now=now + timedelta(minutes=3))
    assert (lead.campaign, lead.phone) == ("sale", phone(1))
    await scenario.pool.execute("update devices set status = 'paused'")
    assert await forgotten_leads(scenario.pool, now=now + timedelta(minutes=3)) == []
    await scenario.pool.execute("update devices set status = 'active'")
    await scenario.pool.execute("update campaigns set status = 'paused'")
    assert await forgotten_leads(scenario.pool, now=now + timedelta(minutes=3)) == []


async def test_whatever_has_nobody_at_it_gets_going_again(live: Live) -> None:
    """One of each that the schedule's activity is there for."""
    scenario, pool, temporal = live.scenario, live.scenario.pool, live.connection.temporal
    await scenario.add_device()
    await scenario.apply(LIVE)
    for index, token in enumerate(("given back", "died")):
        enrolled = await scenario.enroll("story", phone(index))
        assert enrolled.next is not None
        claim = await Ledger(pool).claim_step(
            enrollment_id=enrolled.enrollment_id,
            step_id=enrolled.next.step_id,
            revision=enrolled.next.revision,
            message_id=sequence_message_id(enrolled.next.step_id, phone(index)),
            token=token,
        )
        assert isinstance(claim, Claim)
    unwanted, abandoned_one = (row["id"] for row in await scenario.messages())
    assert await Ledger(pool).release(unwanted, "given back", "too late")
    await pool.execute(
        "update sequence_contacts set status = 'stopped', ended_at = now(), next_step_id = null where phone = $1",
        phone(0),
    )
    ago = "clock_timestamp() - interval '1 hour'"
    await pool.execute(
        f"update broadcast_messages set claimed_at = {ago}, updated_at = {ago} where id = $1", abandoned_one
    )
    await scenario.enroll("story", phone(2))
    await pool.execute("update sequence_contacts set plan_changed_at = now() where phone = $1", phone(2))
    await scenario.add_leads(1, first=3)
    await scenario.apply_campaign("campaign: sale\ntarget: {niche: VITAC}\ntext: Hi\n")
    async with pool.acquire() as connection:
        _, plan = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, plan.campaign_id, now=None, shard_size=100)
    await pool.execute(
        f"update broadcast_messages set status = 'queued', slot_at = {ago}, updated_at = {ago}"
        " where campaign_id is not null"
    )
    environment = ActivityEnvironment(temporal)
    environment.info = replace(environment.info, task_queue=live.connection.settings.task_queue)
    assert await environment.run(RecoveryActivities(pool, "queue").recover_messages) == 1
    assert await pool.fetchval("select status from broadcast_messages where id = $1", unwanted) == "cancelled"
    for started in (f"message:{abandoned_one}", f"campaign:sale:{phone(3)}", "telling"):
        run = await temporal.get_workflow_handle(started).describe()
        assert run.status is WorkflowExecutionStatus.RUNNING, started


LIVE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
"""


@pytest.mark.parametrize("look_up", [True, False], ids=["looked up", "unconfirmed"])
async def test_whoever_leaves_while_the_answer_is_lost_leaves_nothing_behind(
    live: Live, look_up: bool
) -> None:
    """The gateway accepts and does not say so; before the next attempt, each recipient leaves by another door."""
    await live.scenario.add_device()
    await live.scenario.add_leads(1, first=9)
    await live.scenario.apply(LIVE)
    await live.scenario.apply_campaign("campaign: sale\ntarget: {niche: VITAC}\ntext: Hi\n")
    await live.scenario.offer(keys=True, look_up=look_up)
    await live.scenario.faults({"kind": "drop", "after_accepting": True})
    await live.start_worker()
    for index in range(3):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
    await campaigns.start(live.connection, "sale")

    async def backing_off() -> bool:
        rows = await live.scenario.messages()
        return len(rows) == 4 and all(row["attempts"] >= 2 and row["reason"] for row in rows)

    await until(backing_off)
    await opt_outs.opt_out(live.connection, phone(0))
    await contacts.stop(live.connection, "story", phone(1))
    await contacts.skip(live.connection, "story", phone(2), "a")
    lead = live.connection.temporal.get_workflow_handle(f"campaign:sale:{phone(9)}")
    await lead.terminate("an operator in the Web UI")
    await campaigns.cancel(live.connection, "sale")
    await live.all_over(2)
    expected = "sent" if look_up else "unconfirmed"

    async def settled() -> bool:
        await live.connection.temporal.get_schedule_handle(RECOVERY).trigger()
        return [row["status"] for row in await live.scenario.messages()] == [expected] * 4

    await until(settled)
    assert len(await live.scenario.accepted()) == 4
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]
