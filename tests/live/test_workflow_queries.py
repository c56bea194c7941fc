"""What the Web UI lists and shows: every query of the documents, and the details of workflows that have ended."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from messaging.common.errors import Conflict
from operations import campaigns, contacts, devices, enrollment, signals
from rig.waiting import until
from tests.support.live import Live

GUIDE = Path(__file__).parents[2] / "docs" / "operating.md"
PERSON = "+12015550123"
LATER = "scheduled_at: 2035-11-23 10:00\ntimezone: UTC\ntext:"
OTHERS = [f"+1201555{number:04}" for number in range(130, 134)]
SEQUENCE = """
sequence: cold-vitac
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
"""
CAMPAIGN = """
campaign: black-friday
title: Sale
target: {niche: vitac}
text: "Half price today."
"""


def documented() -> list[str]:
    """The queries, as an operator copies them."""
    return re.findall(
        r"\| `((?:Drumbeat|Parent|Root|Workflow|Execution)\w+ [=<>] [^`]+)` \|", GUIDE.read_text("utf-8")
    )


async def listed(live: Live, query: str) -> set[str]:
    return {one.id async for one in live.connection.temporal.list_workflows(query)}


async def lists(live: Live, query: str, expected: set[str]) -> None:
    """Waits until the query lists these workflows, and no others; the index lags behind a little."""

    async def so() -> bool:
        return await listed(live, query) == expected

    try:
        await until(so)
    except AssertionError:
        assert (query, await listed(live, query)) == (query, expected)


async def details(live: Live, workflow_id: str) -> str:
    handle = live.connection.temporal.get_workflow_handle(workflow_id)
    shown: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(shown.current_details)


async def test_every_documented_query_lists_what_it_says(live: Live) -> None:
    await live.scenario.add_device()
    held_up = await live.scenario.add_device(device=f"{live.scenario.device}-held")
    await live.scenario.apply(SEQUENCE)
    await devices.pause(live.connection, held_up, "under review")
    await live.start_worker()
    held, stopped, terminated, paused = OTHERS
    ids = {number: f"sequence:cold-vitac:{number}" for number in (PERSON, *OTHERS)}
    for number in (PERSON, paused):
        await enrollment.enroll(live.connection, "cold-vitac", number, device=live.scenario.device)
    for number in (held, stopped, terminated):
        await enrollment.enroll(live.connection, "cold-vitac", number, device=held_up)
    await lists(live, "DrumbeatState = 'held'", {ids[held], ids[stopped], ids[terminated]})
    await lists(live, "DrumbeatState = 'scheduled'", {ids[PERSON], ids[paused]})
    await contacts.pause(live.connection, "cold-vitac", paused, "on holiday")
    await contacts.stop(live.connection, "cold-vitac", stopped)
    await live.connection.temporal.get_workflow_handle(ids[stopped]).result()
    await live.connection.temporal.get_workflow_handle(ids[terminated]).terminate()
    await live.scenario.pool.execute("update leads set niches = '{VITAC}' where phone = $1", PERSON)
    await live.scenario.apply_campaign(CAMPAIGN)
    await campaigns.start(live.connection, "black-friday")

    lead = f"campaign:black-friday:{PERSON}"
    campaign = {"campaign:black-friday", lead}
    await live.connection.temporal.get_workflow_handle("campaign:black-friday").result()
    with pytest.raises(Conflict, match="there is no sequence 'nowhere'"):
        await enrollment.enroll(
            live.connection, "nowhere", OTHERS[0], device=live.scenario.device, patience=60
        )
    await live.scenario.apply_campaign(CAMPAIGN.replace("black-friday", "later").replace("text:", LATER))
    await campaigns.start(live.connection, "later")
    await lists(live, "DrumbeatCampaign = 'later'", {"campaign:later"})
    await campaigns.pause(live.connection, "later")
    await signals.show_states(live.connection)
    running = 'ExecutionStatus = "Running"'
    expected = {
        f'DrumbeatPhone = "{PERSON}"': {ids[PERSON], lead},
        'DrumbeatCampaign = "black-friday"': campaign,
        'ParentWorkflowId = "campaign:black-friday"': {lead},
        'RootWorkflowId = "campaign:black-friday"': campaign,
        f'DrumbeatSequence = "cold-vitac" and DrumbeatState = "scheduled" and {running}': {ids[PERSON]},
        f'DrumbeatState = "held" and {running}': {ids[held]},
        f'WorkflowType = "SequenceContactWorkflow" and DrumbeatState = "paused" and {running}': {ids[paused]},
        f'WorkflowType = "CampaignWorkflow" and {running}': {"campaign:later"},
        f'WorkflowType = "CampaignWorkflow" and DrumbeatState = "paused" and {running}': {"campaign:later"},
        f'WorkflowType = "DeviceWorkflow" and {running}': {
            f"device:{live.scenario.device}",
            f"device:{held_up}",
        },
        f'WorkflowType = "DeviceWorkflow" and DrumbeatState = "paused" and {running}': {f"device:{held_up}"},
        f'WorkflowType = "SequenceWorkflow" and {running}': {"sequence:cold-vitac"},
        'DrumbeatState = "refused"': {f"sequence:nowhere:{OTHERS[0]}"},
        'ExecutionStatus = "Failed"': set[str](),
        f'DrumbeatDueAt < "2035-12-01T00:00:00Z" and {running}': {ids[PERSON], ids[paused], ids[held]},
    }
    assert sorted(documented()) == sorted(expected)
    for query, workflows in expected.items():
        await lists(live, query, workflows)
    shown = await details(live, ids[stopped])
    assert "was stopped" in shown
    assert "**a**: cancelled (stopped by an operator)" in shown


async def test_a_lead_that_was_held_and_has_ended_is_shown_so(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_leads(1)
    await live.scenario.apply_campaign(CAMPAIGN)
    await devices.pause(live.connection, live.scenario.device, "under review")
    await live.start_worker()
    await campaigns.start(live.connection, "black-friday")
    number = await live.scenario.pool.fetchval("select phone from leads")
    lead = f"campaign:black-friday:{number}"
    await lists(live, "DrumbeatState = 'held'", {lead})
    assert f"and waits: device {live.scenario.device} is paused: under review" in await details(live, lead)
    await devices.resume(live.connection, live.scenario.device)
    await live.connection.temporal.get_workflow_handle(lead).result()
    await live.connection.temporal.get_workflow_handle("campaign:black-friday").result()
    assert f"was sent on {datetime.now(UTC):%Y-%m-%d}" in await details(live, lead)
    assert "**finished**: 1 of 1 settled" in await details(live, "campaign:black-friday")
    async with live.scenario.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table campaigns")
        own = await details(live, "campaign:black-friday")
        assert "State: **finished** · 1 of 1 settled" in own, "the ledger does not answer, the workflow does"
    await lists(live, "DrumbeatState = 'held'", set())
    await lists(live, "DrumbeatState = 'sent'", {lead})


async def test_a_message_that_is_resolved_is_in_no_list_of_unconfirmed_ones(live: Live) -> None:
    """How workflows ended cannot be changed afterwards, so nothing is asked of them that can change."""
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.offer(keys=False, look_up=False)
    await live.scenario.faults({"kind": "drop"})
    await live.start_worker()
    await enrollment.enroll(live.connection, "cold-vitac", PERSON, device=live.scenario.device)

    async def unconfirmed() -> bool:
        return [row["status"] for row in await live.scenario.messages()] == ["unconfirmed"]

    await until(unconfirmed)
    (row,) = await live.scenario.messages()
    code, out, error = await live.run("starter.py", "messages", "--status", "unconfirmed")
    assert code == 0, error
    assert str(row["id"]) in out
    code, _, error = await live.run("starter.py", "message", "resolve", str(row["id"]), "--sent")
    assert code == 0, error
    assert (await live.run("starter.py", "messages", "--status", "unconfirmed"))[1] == "None.\n"
    assert "Unconfirmed" not in " ".join(documented())
