"""What an operator does in the Web UI alone: updates of contacts and campaigns, and what they refuse."""

import json
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, RPCError, WorkflowUpdateFailedError

from operations import campaigns, enrollment, signals
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import CAMPAIGN, finished, ready
from tests.support.live import Live

SEQUENCE = """
sequence: story
steps:
  - {id: hello, day: 1, text: "One"}
  - {id: more, after: 2h, text: "Two"}
  - {id: last, after: 2h, text: "Three"}
"""
TIME = "scheduled_at: 2035-11-23 10:00\ntimezone: Asia/Kuala_Lumpur"


async def ask(live: Live, workflow_id: str, update: str, *given: Any) -> str:
    """Sends an update; answers what the operator reads, also if it is refused."""
    handle = live.connection.temporal.get_workflow_handle(workflow_id)
    try:
        return str(await handle.execute_update(update, args=list(given)))
    except WorkflowUpdateFailedError as error:
        return f"refused: {error.cause}"


async def handlers(live: Live, workflow_id: str) -> dict[str, str]:
    """What the Web UI offers on a workflow's page, with the descriptions."""
    handle = live.connection.temporal.get_workflow_handle(workflow_id)
    shown: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    found = shown.definition
    of_drumbeat = [*found.update_definitions, *found.signal_definitions, *found.query_definitions]
    assert [one.name for one in of_drumbeat if not one.description and not one.name.startswith("__")] == []
    return {one.name: one.description for one in found.update_definitions}


async def events(live: Live, workflow_id: str) -> int:
    return len((await live.connection.temporal.get_workflow_handle(workflow_id).fetch_history()).events)


async def acts(live: Live) -> list[str]:
    """Who did what to contacts and campaigns, but for enrollments."""
    rows = await live.scenario.pool.fetch(
        "select via || ' ' || actor || ': ' || kind as said from events"
        " where not kind like any (array['device.%', 'sequence.%', 'contact.enrolled', 'campaign.created']) order by id"
    )
    return [row["said"] for row in rows]


async def test_a_contact_is_steered_by_updates(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.start_worker()
    await enrollment.enroll(live.connection, "story", phone(1), device=live.scenario.device)
    one, who = f"sequence:story:{phone(1)}", f"{phone(1)} in story"
    handle = live.connection.temporal.get_workflow_handle(one)

    async def waits_for_more() -> bool:
        return bool((await handle.query("progress", result_type=dict))["step"] == "more")

    await until(waits_for_more)
    assert set(await handlers(live, one)) == {"pause", "resume", "stop", "skip", "opt_out"}
    before = await events(live, one)
    for update, given, sentence in (
        ("skip", None, 'Name the step to skip, in quotes: the next one is "more".'),
        ("skip", "last", 'The next step is "more", not "last": only the next one can be skipped.'),
        ("pause", 5, 'The input is 5: give the reason as text in quotes, such as "on holiday".'),
        (
            *("stop", {"why": "asked"}),
            'The input has no field "why": give the reason alone, in quotes, such as "asked by phone".',
        ),
    ):
        assert await ask(live, one, update, given) == f"refused: {sentence}"
    assert await events(live, one) == before, "a refusal leaves nothing in the history"
    assert await ask(live, one, "pause", "on holiday") == f"{who}: paused"
    row = await live.scenario.pool.fetchrow("select paused_reason from sequence_contacts")
    assert row is not None
    assert row["paused_reason"] == "on holiday"
    assert await ask(live, one, "pause", None) == f"{who}: had been paused already: on holiday"
    assert await ask(live, one, "resume", None) == f"{who}: resumed"
    assert await ask(live, one, "skip", {"step": "more"}) == f"{who}: skips more"
    (_, skipped) = await live.scenario.messages()
    assert (skipped["step"], skipped["status"]) == ("more", "cancelled")

    async def stands() -> bool:
        progress = await handle.query("progress", result_type=dict)
        return (progress["state"], progress["step"]) == ("scheduled", "last")

    await until(stands)
    assert await ask(live, one, "stop", "asked by phone") == f"{who}: stopped"
    assert (await handle.result())["outcome"] == "stopped"
    assert await live.scenario.pool.fetchval("select reason from sequence_contacts") == "asked by phone"
    assert await acts(live) == [
        "web ui somebody: contact.paused",
        "web ui somebody: contact.resumed",
        "web ui somebody: contact.skipped",
        "web ui somebody: contact.stopped",
    ]
    with pytest.raises(RPCError, match="completed"):
        await ask(live, one, "resume")
    await enrollment.enroll(live.connection, "story", phone(2), device=live.scenario.device)
    two = f"sequence:story:{phone(2)}"
    await until(lambda: _sent(live, 2))
    # Where people log in to the Web UI, it says who they are.
    config = live.connection.temporal.service_client.config
    client = await Client.connect(config.target_host, identity="dora@example.com")
    await client.get_workflow_handle(two).execute_update("pause", "fair")
    assert await ask(live, two, "opt_out") == f"{phone(2)} opted out, and gets nothing more"
    assert (await acts(live))[4:] == [
        "web ui dora@example.com: contact.paused",
        "web ui somebody: opt_out.added",
        "web ui somebody: contact.opted_out",
    ]
    # What a workflow does for a caller of ours is that caller's act; a signal by hand is one of the Web UI.
    device = ("--device", live.scenario.device)
    code, _, err = await live.run("starter.py", "enroll", "story", phone(3), *device, "--as", "anna")
    assert (code, err) == (0, "")
    three = client.get_workflow_handle(f"sequence:story:{phone(3)}")
    await three.signal("stop", "moved away")
    assert (await three.result())["outcome"] == "stopped"
    rows = await live.scenario.pool.fetch(
        "select via, actor, kind from events where phone = $1 order by id", phone(3)
    )
    assert [tuple(row) for row in rows] == [
        ("command line", "anna", "contact.enrolled"),
        ("web ui", "dora@example.com", "contact.stopped"),
    ]
    assert (await live.connection.temporal.get_workflow_handle(two).result())["outcome"] == "opted_out"


async def _sent(live: Live, messages: int) -> bool:
    return len(await live.scenario.accepted()) >= messages


@pytest.mark.long
async def test_a_campaign_is_steered_by_updates(live: Live) -> None:
    await ready(live, 6, more=TIME, min_delay=0.4, max_delay=0.4)
    await live.scenario.faults({"kind": "refuse", "phone": phone(0)})
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    sale = "campaign:sale"

    async def scheduled() -> bool:
        return not (await ask(live, sale, "retry_failed")).endswith("try again in a moment.")

    await until(scheduled)
    offered = await handlers(live, sale)
    assert set(offered) == {"start", "start_now", "move_time", "pause", "resume", "cancel", "retry_failed"}
    before = await events(live, sale)
    assert await ask(live, sale, "retry_failed") == (
        "refused: Campaign sale has not started yet: no message of it can have failed."
    )
    assert await ask(live, sale, "move_time", "tomorrow") == (
        "refused: No time was understood: 'tomorrow' is not a date with a time, write e.g. 2035-11-23 10:00."
    )
    assert "did you mean" in await ask(live, sale, "move_time", "2035-11-24 10:00 Asia/Kuala_Lumpor")
    assert await events(live, sale) == before, "a refusal leaves nothing in the history"
    passed = await ask(live, sale, "move_time", "2020-01-01 10:00")
    assert passed.startswith("refused: 2020-01-01 10:00 Asia/Kuala_Lumpur has passed: give a later time")
    assert await ask(live, sale, "start") == "sale: nothing changed, it was started before and is scheduled"
    moved = await ask(live, sale, "move_time", "2035-11-24T09:30")
    assert moved == "sale: starts 2035-11-24 09:30 Asia/Kuala_Lumpur"
    assert (await ask(live, sale, "move_time", "2035-11-24 09:30")).startswith("sale: nothing changed")
    shown = await campaigns.campaign_status(live.connection, "sale")
    assert shown.when == "2035-11-24 09:30 Asia/Kuala_Lumpur"
    assert await ask(live, sale, "pause") == "sale: paused"
    assert await ask(live, sale, "resume", None) == "sale: scheduled"
    assert await ask(live, sale, "start_now") == "sale: starts at once"

    async def one_has_failed() -> bool:
        return "failed" in {row["status"] for row in await live.scenario.messages()}

    await until(one_has_failed)
    assert await ask(live, sale, "start_now") == (
        "refused: Campaign sale has started, and it cannot be started again."
    )
    assert "its time cannot change any more" in await ask(live, sale, "move_time", "2035-11-25 10:00")
    assert (await ask(live, sale, "pause")).startswith("sale: paused")
    sent = len(await live.scenario.accepted())
    # The campaign is paused, so what is due again waits, too.
    assert await ask(live, sale, "retry_failed") == "sale: 1 failed message is sent again"
    assert len(await live.scenario.accepted()) == sent
    assert (await ask(live, sale, "resume")).startswith("sale: running")
    done = await finished(live)
    assert (done.status, done.messages.sent, done.messages.failed) == ("finished", 5, 1)
    with pytest.raises(RPCError, match="completed"):
        await ask(live, sale, "retry_failed")
    # What the page says instead: "Start Workflow Like This One", with another input.
    instead = {"campaign": "sale", "retry_failed": True}
    temporal, queue = live.connection.temporal, live.connection.settings.task_queue
    page: WorkflowMetadata = await temporal.get_workflow_handle(sale).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    assert json.dumps(instead) in page.current_details
    await live.scenario.faults()
    await temporal.execute_workflow("CampaignWorkflow", instead, id=sale, task_queue=queue)
    done = await finished(live)
    assert (done.status, done.messages.sent, done.messages.total) == ("finished", 6, 6)
    await live.scenario.apply_campaign(CAMPAIGN.format(name="again", more=""))
    await campaigns.start(live.connection, "again")
    await until(lambda: _sent(live, 7))
    assert (await ask(live, "campaign:again", "cancel")).startswith("again: cancelled")
    assert (await finished(live, "again")).status == "cancelled"


async def test_devices_and_sequences_have_pages_on_which_they_are_steered(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.start_worker()
    await signals.show_states(live.connection)
    device, story = f"device:{live.scenario.device}", "sequence:story"
    assert set(await handlers(live, device)) == set(await handlers(live, story)) == {"pause", "resume"}
    for one in (device, story):
        assert await events(live, one) == 5, "what it costs until something happens"
    assert await ask(live, device, "pause", "SIM under review") == f"{live.scenario.device}: paused"
    row = await live.scenario.pool.fetchrow("select status, status_reason from devices")
    assert row is not None
    assert tuple(row) == ("paused", "SIM under review")
    assert await ask(live, story, "pause", None) == "story: paused"
    assert await ask(live, story, "resume", "now") == "refused: It takes no input: leave the field empty."
    for one in (device, story):
        await live.connection.temporal.get_workflow_handle(one).cancel()
    paused = 'DrumbeatState = "paused" and ExecutionStatus = "Running"'

    async def both() -> bool:
        return {one.id async for one in live.connection.temporal.list_workflows(paused)} == {device, story}

    await until(both)
    assert await ask(live, device, "resume") == f"{live.scenario.device}: active"
    assert await ask(live, story, "resume") == "story: active"
    acts = await live.scenario.pool.fetch(
        "select kind, via from events where kind like 'device.%' or kind like 'sequence.%' order by id"
    )
    assert [tuple(row) for row in acts if row["via"] == "web ui"] == [
        ("device.paused", "web ui"),
        ("sequence.paused", "web ui"),
        ("device.resumed", "web ui"),
        ("sequence.resumed", "web ui"),
    ]
