"""Workers by role: each takes its own from its own task queue, together they do everything, and a replay knows no roles."""

import statistics
from contextlib import suppress

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer

import worker
from messaging.gateways import Gateways
from messaging.reporting.workers import find_workers
from operations import campaigns, enrollment
from operations.schedule import RECOVERY
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live

SEQUENCE = """
sequence: short
steps:
  - {id: a, day: 1, text: "One"}
"""
CAMPAIGN = "campaign: sale\ntarget: {niche: vitac}\ntext: Sale\n"


async def queues(client: Client, workflow: str) -> dict[str, str]:
    """The task queue of each activity that a workflow has scheduled."""
    kind = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    found = {}
    async for event in client.get_workflow_handle(workflow).fetch_history_events():
        if event.event_type == kind:
            scheduled = event.activity_task_scheduled_event_attributes
            found[scheduled.activity_type.name] = scheduled.task_queue.name
    return found


async def what_is_missing(live: Live) -> str | None:
    return (await find_workers(live.scenario.pool, live.connection.settings.task_queue)).idle


@pytest.mark.long  # three workers
async def test_roles_are_taken_by_workers_of_their_own_and_taken_back(live: Live) -> None:
    queue, client = live.connection.settings.task_queue, live.connection.temporal
    await live.scenario.add_device()
    await live.scenario.add_leads(2)
    await live.scenario.apply(SEQUENCE)
    await live.scenario.apply_campaign(CAMPAIGN)
    await live.start_worker(DRUMBEAT_ROLES="workflows")

    async def enrolled() -> bool:
        return await live.active() == 1

    await enrollment.enroll(live.connection, "short", phone(0))
    await until(enrolled)
    await campaigns.start(live.connection, "sale")

    async def waits_for_a_sender() -> bool:
        with suppress(RPCError):  # it has not started yet
            lead = await client.get_workflow_handle(f"campaign:sale:{phone(0)}").describe()
            return bool(lead.raw_description.pending_activities)
        return False

    await until(waits_for_a_sender)
    said = await what_is_missing(live)
    assert said is not None
    assert said.startswith(
        "no worker that runs has the role sends or housekeeping, so all messages wait and triggers"
    )
    assert (
        f"'.venv/bin/python worker.py --roles sends,housekeeping', which polls the task queue '{queue}-sends'"
        in said
    )
    assert not await live.scenario.accepted()

    await live.start_worker(DRUMBEAT_ROLES="sends")
    await live.all_over(1)

    async def all_sent() -> bool:
        return len(await live.scenario.accepted()) == 3

    await until(all_sent)
    of_contact, of_lead = f"sequence:short:{phone(0)}", f"campaign:sale:{phone(1)}"
    assert await queues(client, of_contact) == {"send_step": f"{queue}-sends", "finish": queue}
    assert await queues(client, of_lead) == {"send_message": f"{queue}-sends"}
    started = (await client.get_workflow_handle(of_lead).fetch_history()).events[0]
    given = started.workflow_execution_started_event_attributes.priority
    assert (given.priority_key, given.fairness_key) == (4, live.scenario.device)

    # A replay elsewhere does not ask for roles.
    replayer = Replayer(
        workflows=worker.WORKFLOWS, workflow_runner=worker.sandbox(), data_converter=pydantic_data_converter
    )
    for workflow in (of_contact, of_lead):
        await replayer.replay_workflow(await client.get_workflow_handle(workflow).fetch_history())

    # The recovery waits for a worker with its role; one with all roles takes what waits in any queue.
    await client.get_schedule_handle(RECOVERY).trigger()
    await live.start_worker()

    async def recovered() -> bool:
        actions = (await client.get_schedule_handle(RECOVERY).describe()).info.recent_actions
        started = [one.action.workflow_id for one in actions if hasattr(one.action, "workflow_id")]
        if not started:
            return False
        found = await queues(client, started[0])
        done = await client.get_workflow_handle(started[0]).describe()
        return found == {"recover_messages": f"{queue}-housekeeping"} and done.close_time is not None

    await until(recovered)
    assert await what_is_missing(live) is None


@pytest.mark.long  # a worker's start
async def test_a_step_that_is_due_goes_before_a_campaign_that_waits_for_senders(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, client = live.connection.settings.task_queue, live.connection.temporal
    await live.scenario.add_device()
    await live.scenario.add_leads(30)
    await live.scenario.apply(SEQUENCE)
    await live.scenario.apply_campaign(CAMPAIGN)
    await live.start_worker(DRUMBEAT_ROLES="workflows,housekeeping")
    await campaigns.start(live.connection, "sale")

    async def waiting(count: int) -> bool:
        """So many messages wait in the queue of those who send."""
        query = f"TaskQueue = '{queue}' and ExecutionStatus = 'Running'"
        found = [one.id async for one in client.list_workflows(query)]
        described = [await client.get_workflow_handle(of).describe() for of in found]
        names = [
            waits.activity_type.name for one in described for waits in one.raw_description.pending_activities
        ]
        return len([name for name in names if name.startswith("send_")]) == count

    await until(lambda: waiting(30))
    due = [phone(number) for number in range(40, 45)]
    for number in due:
        await enrollment.enroll(live.connection, "short", number, device=live.scenario.device)
    await until(lambda: waiting(35))
    monkeypatch.setitem(worker.CONCURRENCY, "max_concurrent_activities", 1)
    gateways = Gateways(live.scenario.simulator_url)

    async def all_sent() -> bool:
        return len(await live.scenario.accepted()) == 35

    async with worker.make_worker(
        client, live.scenario.pool, gateways, task_queue=queue, role="sends", roles=("sends",)
    ):
        await until(all_sent)
    await gateways.close()
    # Without priorities they come last, at place 25 on average. A queue has parts, of which each keeps the order for itself.
    order = [one["phone"] for one in await live.scenario.accepted()]
    assert statistics.mean(order.index(number) for number in due) < 15
