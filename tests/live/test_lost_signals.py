"""A command is killed before it has told a workflow, or Temporal cannot be reached: the workflow hears of it all the same."""

import asyncio
from datetime import timedelta
from uuid import UUID

from temporalio.client import WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Held
from messaging.sending.positions import NextPosition
from messaging.sending.telling import (
    PASSED_OVER_AFTER,
    Tell,
    any_passed_over,
    any_to_signal,
    note_signalled,
    page,
)
from messaging.sequences.contract import EnrollmentEnd
from messaging.sequences.enrollments import Enrollments
from operations import campaigns, contacts, devices, enrollment, opt_outs
from operations.audit import audit
from operations.connection import Drumbeat
from operations.schedule import RECOVERY
from rig.people import phone
from rig.waiting import until
from tests.support.contact import Contact
from tests.support.live import TEMPORAL, Live

STORY = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 48h, text: "Two"}
"""
SALE = 'campaign: {name}\ntarget: {{niche: VITAC}}\nscheduled_at: 2035-11-23 10:00\ntimezone: UTC\ntext: "{name}"\n'

DIES = """
import os, runpy, signal, sys
from temporalio.client import Client, WorkflowHandle

def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

WorkflowHandle.signal = Client.start_workflow = dies
sys.argv = ["starter.py", *sys.argv[1:]]
runpy.run_path("starter.py", run_name="__main__")
"""
"""A command that is killed when it is about to tell a workflow; everything before that is real."""


async def statuses(live: Live, *workflows: str) -> list[WorkflowExecutionStatus | None]:
    handles = [live.connection.temporal.get_workflow_handle(workflow) for workflow in workflows]
    return [(await handle.describe()).status for handle in handles]


async def recovered(live: Live) -> None:
    await live.connection.temporal.get_schedule_handle(RECOVERY).trigger()
    await asyncio.sleep(0.5)  # between two looks, so that not hundreds are under way


async def test_what_a_command_that_was_killed_did_not_tell_is_told(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_leads(2, first=10)
    await live.scenario.apply(STORY)
    for name in ("dropped", "today"):
        await live.scenario.apply_campaign(SALE.format(name=name))
    await live.start_worker()
    for index in range(4):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
    await campaigns.start(live.connection, "dropped")
    await contacts.pause(live.connection, "story", phone(2))
    workflow_ids = [f"sequence:story:{phone(index)}" for index in range(4)]

    async def ready() -> bool:
        resting = await contacts.progress(live.connection, "story", phone(2))
        return len(await live.scenario.accepted()) == 4 and resting.state == "paused"

    await until(ready)
    # What is looked for every minute is not found before the test has looked, however long the commands take.
    await live.connection.temporal.get_schedule_handle(RECOVERY).pause()
    for command in (
        ("stop", "story", phone(0)),
        ("opt-out", phone(1)),
        ("resume", "story", phone(2)),
        ("skip", "story", phone(3), "b"),
        ("campaign", "cancel", "dropped"),
        ("campaign", "start", "today", "--now", "--yes"),
    ):
        assert (await live.run("-c", DIES, *command))[0] == -9, command
    running = WorkflowExecutionStatus.RUNNING
    assert await statuses(live, *workflow_ids, "campaign:dropped") == [running] * 5
    assert (await contacts.progress(live.connection, "story", phone(2))).state == "paused"
    (strays,) = [
        one for one in (await audit(live.connection)).checks if one.promise.endswith("its enrollment")
    ]
    assert strays.kept, "they hear of it within a minute"

    async def over() -> bool:
        await recovered(live)
        ended = await statuses(live, workflow_ids[0], workflow_ids[1], workflow_ids[3], "campaign:dropped")
        resting = await contacts.progress(live.connection, "story", phone(2))
        return running not in ended and resting.state == "scheduled"

    await until(over)
    rows = await live.scenario.pool.fetch("select status from sequence_contacts order by phone")
    assert [row["status"] for row in rows] == ["stopped", "opted_out", "active", "completed"]

    async def sent() -> bool:
        await recovered(live)
        return len(await live.scenario.accepted()) == 6

    await until(sent)
    assert {row["text"] for row in await live.scenario.accepted()} == {"One", "today"}
    assert not await any_to_signal(live.scenario.pool)


async def test_a_command_that_cannot_tell_says_so_and_holds(live: Live) -> None:
    """Temporal goes away when the command is connected."""
    await live.scenario.add_device()
    await live.scenario.apply(STORY)
    await live.start_worker()
    await enrollment.enroll(live.connection, "story", phone(0), device=live.scenario.device)
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL), data_converter=pydantic_data_converter
    ) as gone:
        client = gone.client
    said: list[str] = []
    cut_off = Drumbeat(live.connection.settings, live.connection.addresses, client, said.append)
    try:
        done = await contacts.stop(cut_off, "story", phone(0))
    finally:
        await cut_off.close()
    assert done.result == "stopped"
    (line,) = said
    assert line.startswith("Temporal could not be reached (")
    assert line.endswith(
        "what was asked holds, and running workflows are signalled within minutes of its return"
    )
    assert await live.active() == 0

    async def over() -> bool:
        await recovered(live)
        return await statuses(live, f"sequence:story:{phone(0)}") == [WorkflowExecutionStatus.COMPLETED]

    await until(over)
    assert len(await live.scenario.accepted()) <= 1


async def test_what_is_passed_over_is_found(contact: Contact) -> None:
    """Its hold has ended, and nobody has woken it; one that waits for its gateway is left alone, and one that is held."""
    pool = contact.scenario.pool
    await pool.execute("update devices set status = 'paused'")
    contact.now = await pool.fetchval("select clock_timestamp()")
    assert isinstance(await contact.send(), Held)
    old = PASSED_OVER_AFTER + timedelta(seconds=1)
    await pool.execute("update broadcast_messages set updated_at = updated_at - $1::interval", old)
    assert not await any_passed_over(pool), "it is held"
    await pool.execute("update devices set status = 'active'")
    assert await any_passed_over(pool)
    (found,) = (await page(pool, Tell(kind="passed-over"))).next
    assert found.workflow_id == f"sequence:welcome:{contact.phone}"
    for hours, told in ((23.5, True), (24.01, True), (24.5, False), (600.01, True), (600.5, False)):
        await pool.execute(
            "update broadcast_messages set due_at = clock_timestamp() - $1::interval",
            timedelta(hours=hours),
        )
        await pool.execute("update broadcast_messages set updated_at = due_at")
        assert await any_passed_over(pool) is told, "its workflow may be gone for ever"
    await pool.execute("update broadcast_messages set updated_at = clock_timestamp()")
    assert not await any_passed_over(pool), "an attempt gave it back a moment ago"


async def test_an_end_that_comes_while_a_message_is_sent_is_told_until_the_workflow_ends(
    contact: Contact,
) -> None:
    """What is settled says where the contact stands by its plan, and nothing of the end."""
    pool, enrollments = contact.scenario.pool, Enrollments(contact.scenario.pool)
    claim = await contact.claim("slow")
    end = EnrollmentEnd(enrollment_id=contact.ref().enrollment_id, status="stopped")
    await enrollments.finish(end, now=contact.now)
    position = NextPosition(
        timeline=claim.enrollment.timeline,
        next_step_id=claim.enrollment.next_step_id,
        next_due_at=claim.enrollment.next_due_at,
        plan_revision=claim.enrollment.plan_revision,
    )
    message = UUID(str((await contact.message())["id"]))
    assert await Ledger(pool).settle(message, "slow", MessageStatus.SENT, contact.now, position=position)
    assert await any_to_signal(pool)
    finished = await enrollments.finish(end, now=contact.now, by_workflow=True)
    assert finished.status == "stopped"
    assert not await any_to_signal(pool)


async def test_who_has_not_looked_is_told_again_at_growing_distances(contact: Contact) -> None:
    """Each signal stays in the history of a workflow whose tasks fail."""
    pool = contact.scenario.pool
    minute = timedelta(minutes=1)

    async def is_told_again(since_changed: timedelta, since_told: timedelta | None) -> bool:
        await pool.execute(
            "update sequence_contacts set plan_changed_at = clock_timestamp() - $1::interval,"
            " signalled_at = clock_timestamp() - $2::interval",
            since_changed,
            since_told,
        )
        return await any_to_signal(pool)

    assert await is_told_again(minute, None)
    assert await is_told_again(minute, 2 * minute), "told of something before"
    assert not await is_told_again(minute, minute / 2)
    assert await is_told_again(2 * minute, minute + minute / 60)
    assert not await is_told_again(10 * minute, 4 * minute)
    assert await is_told_again(10 * minute, 6 * minute)
    await note_signalled(pool, [told := (await page(pool, Tell(kind="plans"))).next[0]], [True])
    assert not await any_to_signal(pool)
    await note_signalled(pool, [told], [False])
    assert await page(pool, Tell(kind="plans")) == ("plan_changed", (), False), "no workflow runs"


async def test_who_opted_out_while_a_campaign_was_held_leaves_no_workflow_behind(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_leads(2)
    await live.scenario.apply_campaign(SALE.format(name="today"))
    await devices.pause(live.connection, live.scenario.device)
    await live.start_worker()
    await campaigns.start(live.connection, "today", now=True)
    leads = [f"campaign:today:{phone(index)}" for index in range(2)]

    async def held() -> bool:
        rows = await live.scenario.messages()
        return len(rows) == 2 and all("is paused" in (row["reason"] or "") for row in rows)

    await until(held)
    await opt_outs.opt_out(live.connection, phone(0))
    assert (await live.run("-c", DIES, "opt-out", phone(1)))[0] == -9
    await live.scenario.pool.execute("update suppressions set created_at = created_at - interval '1 minute'")

    async def over() -> bool:
        await recovered(live)
        return await statuses(live, *leads) == [WorkflowExecutionStatus.COMPLETED] * 2

    await until(over)
    assert await live.scenario.accepted() == []
