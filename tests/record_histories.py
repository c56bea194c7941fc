"""Records the histories that test_replay.py replays: ``python -m tests.record_histories NAME [STORY …]``.

A history stands for workflows that run somewhere with the code of its day. Record a new one beside the old when
workflow code changes; never record an old one anew to make a test pass.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.sending.telling import Tell, Telling
from messaging.sequences.contacts import pause_contact, resume_contact
from messaging.sequences.contract import SweepCursor
from messaging.sequences.enrollments import Enrollments
from operations import campaigns, enrollment, messages
from rig.people import phone
from rig.waiting import until
from runtime.database import migrate, open_pool
from runtime.embedded.postgres import Postgres
from temporal.watched import show_states
from tests.support.live import Live, live_servers
from tests.support.ports import free_port
from tests.support.scenario import Scenario
from tests.support.simulator_process import running_simulator
from tests.support.temporal_time import TASK_QUEUE, Skipping, skipping
from workflows.missed import MissedMessagesWorkflow
from workflows.outbox import OutboxWorkflow, ReceiverTestWorkflow
from workflows.recovery import RecoveryWorkflow
from workflows.telling import TellingWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["HISTORIES"]

HISTORIES = Path(__file__).parent / "histories"

STEPS = """
sequence: {name}
trigger: {trigger}
{more}
timezone: UTC
steps:
  - {{id: first, day: 1, text: "First"}}
  - {{id: second, day: 2, at: "10:00", text: "Second"}}
  - {{id: third, day: 4, text: "Third"}}
"""

Story = Callable[[Skipping], Awaitable["WorkflowHandle[object, object]"]]


async def completed_into_the_next(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Three steps, then the sequence that follows."""
    handle = await skipper.enroll("cold", phone(1), name="Aisha", triggers=("COLD",))
    await handle.result()
    return handle  # type: ignore[return-value]


async def steered(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Paused over a due time, resumed, told of an edit, woken, skipped, and stopped."""
    handle = await skipper.enroll("cold", phone(2))
    await skipper.sleep(timedelta(hours=1))
    pool = skipper.scenario.pool
    contact = await pool.fetchval("select id from sequence_contacts where workflow_id = $1", handle.id)
    await pause_contact(pool, contact, "on holiday")
    await handle.signal("plan_changed")
    await skipper.sleep(timedelta(days=2))
    await resume_contact(pool, contact)
    await handle.signal("plan_changed")
    await handle.signal("wake")
    await skipper.sleep(timedelta(seconds=5))
    await Enrollments(pool).skip(contact, "third", now=await skipper.now())
    await handle.signal("plan_changed")
    await skipper.sleep(timedelta(seconds=5))
    await handle.result()
    return handle  # type: ignore[return-value]


async def held_and_stopped(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Held by a paused device, looked again after hours, and stopped."""
    await skipper.scenario.pool.execute("update devices set status = 'paused'")
    handle = await skipper.enroll("cold", phone(3))
    await skipper.sleep(timedelta(hours=7))
    await handle.signal("stop", "asked by phone")
    await handle.result()
    await skipper.scenario.pool.execute("update devices set status = 'active'")
    return handle  # type: ignore[return-value]


async def deferred(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Waits for the device's slot."""
    await skipper.scenario.pool.execute(
        "update devices set next_slot_at = now() + interval '1 hour', max_delay = 1"
    )
    handle = await skipper.enroll("warm", phone(4))
    await handle.result()
    return handle  # type: ignore[return-value]


async def duplicate(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Another run had the contact before."""
    handle = await skipper.enroll("cold", phone(1))
    await handle.result()
    return handle  # type: ignore[return-value]


async def sweep(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Two leads with a trigger."""
    await skipper.scenario.pool.execute(
        "insert into leads (phone, triggers, device_id) select unnest($1::text[]), '{WARM}', $2",
        [phone(10), phone(11)],
        skipper.scenario.device,
    )
    handle = await skipper.environment.client.start_workflow(
        TriggerEnrollmentWorkflow.run, SweepCursor(), id="trigger-sweep", task_queue=TASK_QUEUE
    )
    await handle.result()
    return handle  # type: ignore[return-value]


async def in_doubt(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """The gateway did not say whether it took the first message."""
    await skipper.scenario.offer(keys=False, look_up=False)
    await skipper.scenario.faults({"kind": "drop", "count": 1})
    handle = await skipper.enroll("warm", phone(5))
    await handle.result()
    await skipper.scenario.offer(keys=True, look_up=True)
    return handle  # type: ignore[return-value]


async def repeated_by_the_server(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """The database could not answer in the task, and did so later."""
    pool = skipper.scenario.pool
    await pool.execute("alter table sequence_contacts rename to gone")
    handle = await skipper.enroll("warm", phone(6))

    async def pending() -> bool:
        return bool((await handle.describe()).raw_description.pending_activities)

    await until(pending)
    await pool.execute("alter table gone rename to sequence_contacts")
    await handle.result()
    return handle  # type: ignore[return-value]


async def refused(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """There is no such sequence."""
    handle = await skipper.enroll("nowhere", phone(7))
    await handle.result()
    return handle  # type: ignore[return-value]


async def cancelled(skipper: Skipping) -> "WorkflowHandle[object, object]":
    """Somebody cancels the workflow in the Web UI."""
    handle = await skipper.enroll("cold", phone(8))
    await skipper.sleep(timedelta(hours=1))
    await handle.cancel()
    with suppress(WorkflowFailureError):
        await handle.result()
    return handle  # type: ignore[return-value]


STORIES: tuple[Story, ...] = (
    *(completed_into_the_next, duplicate, steered, held_and_stopped, sweep, deferred),
    *(in_doubt, repeated_by_the_server, refused, cancelled),
)


CAMPAIGN = """
campaign: {name}
target: {{niche: {name}}}
scheduled_at: {at:%Y-%m-%d %H:%M:%S}
timezone: UTC
text: "Hi"
"""


async def campaign_stories(live: Live) -> AsyncIterator[tuple[str, WorkflowHistory]]:
    """Campaigns on the real server, which knows continue-as-new of parents with children that go on."""
    connection = live.connection
    # The other device has sent in days to come, by the other server's clock.
    scenario = replace(live.scenario, device="campaigns")
    await live.start_worker()

    async def begin(name: str, leads: int, first: int, after: float) -> None:
        await scenario.add_leads(leads, niche=name.upper(), first=first)
        await scenario.apply_campaign(
            CAMPAIGN.format(name=name, at=datetime.now(UTC) + timedelta(seconds=after))
        )
        await campaigns.start(connection, name)

    async def ended(name: str) -> None:
        async def over() -> bool:
            return (await campaigns.campaign_status(connection, name)).ended_at is not None

        await until(over, 120)
        await connection.temporal.get_workflow_handle(f"campaign:{name}").result()

    async def history(workflow_id: str) -> WorkflowHistory:
        return await connection.temporal.get_workflow_handle(workflow_id).fetch_history()

    # One that waits for its time and is paced, paused and resumed; its leads wait for slots and holds.
    await scenario.add_device(min_delay=1.2, max_delay=1.3)
    await begin("paced", 6, 20, after=3)
    await asyncio.sleep(6)
    await campaigns.pause(connection, "paced")
    await asyncio.sleep(6)
    await campaigns.resume(connection, "paced")
    await ended("paced")
    yield "campaign_paused_and_resumed", await history("campaign:paced")
    leads = [await history(f"campaign:paced:{phone(index)}") for index in range(20, 26)]
    leads.sort(key=lambda lead: len(lead.events))
    yield "campaign_lead_at_once", leads[0]
    yield "campaign_lead_deferred_and_held", leads[-1]

    await begin("stopped", 6, 30, after=1)
    await asyncio.sleep(4)
    await campaigns.cancel(connection, "stopped")
    await ended("stopped")
    yield "campaign_cancelled", await history("campaign:stopped")

    # One of two shards, which are as small as that for once.
    await scenario.add_leads(4, niche="SHARDED", first=50)
    await scenario.apply_campaign(CAMPAIGN.format(name="sharded", at=datetime.now(UTC)))
    async with scenario.pool.acquire() as database:
        _, state = await begin_campaign(database, "sharded", start_now=True)
        await freeze_audience(database, state.campaign_id, now=None, shard_size=2)
    await campaigns.notify_or_start(connection, "sharded")
    await ended("sharded")
    yield "campaign_of_shards", await history("campaign:sharded")
    yield "campaign_shard_waits_for_room", await history("campaign:sharded:shard-0")

    await scenario.add_device(min_delay=0, max_delay=0)
    await scenario.offer(keys=False, look_up=False)
    await scenario.faults({"kind": "drop"})
    await begin("doubtful", 1, 40, after=1)
    await ended("doubtful")
    yield "campaign_in_doubt", await history("campaign:doubtful")
    yield "campaign_lead_in_doubt", await history(f"campaign:doubtful:{phone(40)}")
    await enrollment.enroll(connection, "warm", phone(41), device=scenario.device)
    again = await doubtful(scenario, phone(41))
    await scenario.faults()
    await scenario.offer(keys=True, look_up=True)
    await messages.resolve(connection, again, "resend")
    await connection.temporal.get_workflow_handle(f"message:{again}").result()
    yield "sent_again", await history(f"message:{again}")

    client, queue = connection.temporal, connection.settings.task_queue
    async for one in steered_by_updates(live, scenario):
        yield one
    await client.execute_workflow(RecoveryWorkflow.run, id="recovery", task_queue=queue)
    yield "recovery", await history("recovery")
    await client.execute_workflow(MissedMessagesWorkflow.run, id="missed", task_queue=queue)
    yield "missed_messages", await history("missed")
    await client.execute_workflow(ReceiverTestWorkflow.run, "nobody", id="alert-test", task_queue=queue)
    yield "receiver_tested", await history("alert-test")
    await client.start_workflow(OutboxWorkflow.run, id="outbox", task_queue=queue)

    async def delivers() -> bool:
        return len((await history("outbox")).events) > 10

    await until(delivers, 100)  # two activities, each of a minute
    yield "outbox", await history("outbox")
    to_signal = Telling(of=(Tell(kind="plans"), Tell(kind="device", name=scenario.device)))
    await client.execute_workflow(TellingWorkflow.run, to_signal, id="telling-of-two", task_queue=queue)
    yield "telling", await history("telling-of-two")

    # Workers with roles: the one that has the workflow does not send.
    await live.stop_workers()
    for role in ("workflows", "sends"):
        await live.start_worker(DRUMBEAT_ROLES=role)
    await begin("elsewhere", 1, 90, after=1)
    await ended("elsewhere")
    yield "campaign_lead_sent_elsewhere", await history(f"campaign:elsewhere:{phone(90)}")


async def steered_by_updates(live: Live, scenario: Scenario) -> AsyncIterator[tuple[str, WorkflowHistory]]:
    """A device, a sequence, a contact and a campaign, as operators steer them in the Web UI."""
    client = live.connection.temporal
    await show_states(client, scenario.pool, task_queue=live.connection.settings.task_queue)
    for story, name in (
        ("device_steered", f"device:{scenario.device}"),
        ("sequence_steered", "sequence:cold"),
    ):
        handle = client.get_workflow_handle(name)
        for update in ("pause", "resume"):
            await handle.execute_update(update, None)
        await handle.cancel()
        await handle.execute_update("resume", None)
        yield story, await handle.fetch_history()
    await enrollment.enroll(live.connection, "cold", phone(60), device=scenario.device)
    handle = client.get_workflow_handle(f"sequence:cold:{phone(60)}")

    async def second() -> bool:
        return bool((await handle.query("progress", result_type=dict))["step"] == "second")

    await until(second)
    for update, given in (("pause", "on holiday"), ("resume", None), ("skip", "second"), ("stop", None)):
        await handle.execute_update(update, given)
    await handle.result()
    yield "contact_by_updates", await handle.fetch_history()
    await scenario.add_leads(1, niche="UPDATED", first=70)
    await scenario.apply_campaign(CAMPAIGN.format(name="updated", at=datetime.now(UTC) + timedelta(days=1)))
    await campaigns.start(live.connection, "updated")
    handle = client.get_workflow_handle("campaign:updated")
    tomorrow = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d %H:%M}"
    updates = (("pause", None), ("move_time", tomorrow), ("resume", None), ("start_now", None))
    for update, time in updates:
        await until(lambda update=update, time=time: _takes(handle, update, time))  # type: ignore[misc]
    await handle.result()
    yield "campaign_by_updates", await handle.fetch_history()


async def _takes(handle: "WorkflowHandle[object, object]", update: str, given: str | None) -> bool:
    """False while the workflow does not know yet where it stands."""
    try:
        await handle.execute_update(update, given)
    except WorkflowUpdateFailedError:
        return False
    return True


async def doubtful(scenario: Scenario, number: str) -> UUID:
    """The phone's unconfirmed message, once it is one."""
    found: list[UUID] = []

    async def there() -> bool:
        found[:] = [
            row["id"]
            for row in await scenario.messages()
            if (row["status"], row["recipient_phone"]) == ("unconfirmed", number)
        ]
        return bool(found)

    await until(there)
    return found[0]


async def record(label: str, wanted: Collection[str]) -> None:
    """Plays every story and writes its history, or those of the wanted ones, to ``histories/STORY.LABEL.json``."""

    def write(story: str, history: WorkflowHistory) -> None:
        if not wanted or story in wanted:
            # Errors come with their stack, and that with the places of files on this machine.
            text = history.to_json()
            for place in (HISTORIES.parents[1], sys.prefix, sys.base_prefix):
                text = text.replace(f"{place}/", "")
            (HISTORIES / f"{story}.{label}.json").write_text(text + "\n")

    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(Path(directory) / "postgres", port=free_port(), durable=False)
        await server.start()
        try:
            await migrate(server.url())
            async with (
                running_simulator(Path(directory) / "simulator") as simulator,
                await open_pool(server.url()) as pool,
            ):
                scenario = Scenario(pool, simulator.url)
                await scenario.add_device()
                await scenario.apply(STEPS.format(name="cold", trigger="COLD", more="next_trigger: WARM"))
                await scenario.apply(STEPS.format(name="warm", trigger="WARM", more=""))
                for story in STORIES:
                    async with skipping(scenario) as skipper:
                        handle = await story(skipper)
                        history = await handle.fetch_history()
                    write(story.__name__, history)
                async with live_servers(scenario, server.url(), Path(directory) / "worker.log") as live:
                    async for name, history in campaign_stories(live):
                        write(name, history)
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2:]))
