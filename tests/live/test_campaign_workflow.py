"""Campaigns on real servers with real workers: started, steered, paced, killed."""

import asyncio
import itertools
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from messaging.common.errors import Conflict
from operations import campaigns, devices, enrollment
from operations.audit import audit
from rig.people import phone
from rig.waiting import until
from temporal import search_attributes as attributes
from tests.support.campaigns import CAMPAIGN, finished, ready
from tests.support.live import Live
from workflows.campaign import CampaignResult

SEED = 20261124


async def settled(live: Live, messages: int) -> None:
    """Waits until so many messages of campaigns came to an end."""

    async def enough() -> bool:
        count: int = await live.scenario.pool.fetchval(
            "select count(*) from broadcast_messages where campaign_id is not null"
            " and not is_unsettled(status)"
        )
        return count >= messages

    await until(enough, 60)


async def exactly_once(live: Live, leads: int) -> None:
    """The gateway's log has every lead's message, and none twice."""
    accepted = Counter((row["phone"], row["text"]) for row in await live.scenario.accepted())
    assert accepted == {(phone(i), f"Hi Lead {i}, half price today."): 1 for i in range(leads)}


async def kept(live: Live) -> None:
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]


async def run_status(live: Live, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await live.connection.temporal.get_workflow_handle(workflow_id).describe()).status


async def test_every_lead_gets_it_once_however_often_it_is_started(live: Live) -> None:
    await ready(live, 12)
    await live.start_worker()
    both = await asyncio.gather(*(campaigns.start(live.connection, "sale") for _ in range(2)))
    assert sorted(change.changed for change in both) == [False, True]
    done = await finished(live)
    assert (done.status, done.messages.sent, done.messages.total) == ("finished", 12, 12)
    again = await campaigns.start(live.connection, "sale", now=True)
    assert (again.changed, again.status) == (False, "finished")
    assert (await campaigns.retry_failed(live.connection, "sale")).changed is False
    with pytest.raises(Conflict, match="finished"):
        await campaigns.cancel(live.connection, "sale")
    await exactly_once(live, 12)
    handle = live.connection.temporal.get_workflow_handle("campaign:sale", result_type=CampaignResult)
    assert (await handle.result()).counts == {"sent": 12}
    listed = "DrumbeatCampaign = 'sale' and WorkflowType = 'MessageWorkflow'"
    leads = {one.id: one async for one in live.connection.temporal.list_workflows(listed)}
    assert set(leads) == {f"campaign:sale:{phone(index)}" for index in range(12)}
    assert leads[f"campaign:sale:{phone(7)}"].typed_search_attributes[attributes.PHONE] == phone(7)
    await kept(live)


async def test_one_that_nobody_would_get_at_its_time_can_be_mended_and_started(live: Live) -> None:
    await ready(live, 1)
    await campaigns.start(live.connection, "sale")
    await live.scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(0))
    await live.start_worker()

    async def draft() -> bool:
        return (await campaigns.campaign_status(live.connection, "sale")).status == "draft"

    await until(draft)
    shown = await campaigns.campaign_status(live.connection, "sale")
    assert shown.reason == "no lead was left to write to: 1 opted out"
    with pytest.raises(Conflict, match="1 lead matches its target, of them 1 opted out"):
        await campaigns.start(live.connection, "sale")
    assert await live.scenario.accepted() == []
    await live.scenario.pool.execute("delete from suppressions")
    assert (await campaigns.start(live.connection, "sale")).changed
    done = await finished(live)
    assert (done.status, done.messages.sent, done.reason) == ("finished", 1, None)


async def test_it_waits_for_its_time_and_follows_when_that_is_moved(live: Live) -> None:
    await ready(live, 5)
    soon = datetime.now(UTC) + timedelta(hours=5)
    moved = "scheduled_at: {:%Y-%m-%dT%H:%M:%S}\ntimezone: UTC"
    await live.scenario.apply_campaign(CAMPAIGN.format(name="sale", more=moved.format(soon)))
    await live.start_worker()
    started = await campaigns.start(live.connection, "sale")
    assert (started.changed, started.status) == (True, "scheduled")
    handle = live.connection.temporal.get_workflow_handle("campaign:sale")

    async def timer() -> bool:
        events = (await handle.fetch_history()).events
        return any(
            event.HasField("timer_started_event_attributes") and b"starts" in event.user_metadata.summary.data
            for event in events
        )

    await until(timer)
    file = live.log.parent / "sale.yaml"
    soon = datetime.now(UTC) + timedelta(seconds=3)
    file.write_text(CAMPAIGN.format(name="sale", more=moved.format(soon)))
    (applied,) = await campaigns.apply(live.connection, [file])
    assert applied.rescheduled
    done = await finished(live)
    assert done.messages.sent == 5
    assert done.frozen_at is not None
    assert done.frozen_at >= soon.replace(microsecond=0)
    await exactly_once(live, 5)


async def test_pause_holds_at_once_and_resume_loses_nothing(live: Live) -> None:
    await ready(live, 12, min_delay=0.1, max_delay=0.2)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await settled(live, 3)
    assert (await campaigns.pause(live.connection, "sale")).changed
    assert not (await campaigns.pause(live.connection, "sale")).changed
    await asyncio.sleep(0.5)  # what was at the gateway at that moment has arrived
    before = len(await live.scenario.accepted())
    await asyncio.sleep(1)  # time itself matters: nothing is sent in it
    assert len(await live.scenario.accepted()) == before < 12
    resumed = await campaigns.resume(live.connection, "sale")
    assert (resumed.changed, resumed.status) == (True, "running")
    assert (await finished(live)).messages.sent == 12
    await exactly_once(live, 12)
    arrived = sorted(datetime.fromisoformat(row["received_at"]) for row in await live.scenario.requests())
    assert min((b - a).total_seconds() for a, b in itertools.pairwise(arrived)) >= 0.1


async def test_cancel_closes_the_rest_and_ends_every_workflow(live: Live) -> None:
    await ready(live, 16, min_delay=0.3, max_delay=0.4)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await settled(live, 3)
    assert (await campaigns.cancel(live.connection, "sale")).changed
    done = await finished(live)
    assert done.status == "cancelled"
    assert done.messages.sent == len(await live.scenario.accepted())
    assert done.messages.sent + done.messages.cancelled == 16
    assert done.messages.cancelled > 5
    query = 'DrumbeatCampaign = "sale" and ExecutionStatus = "Running"'

    async def nobody_runs() -> bool:
        return not [one async for one in live.connection.temporal.list_workflows(query)]

    await until(nobody_runs)
    assert not (await campaigns.cancel(live.connection, "sale")).changed
    for wish in (campaigns.start, campaigns.resume, campaigns.retry_failed):
        with pytest.raises(Conflict, match="cancelled"):
            await wish(live.connection, "sale")
    await kept(live)


async def test_one_that_waits_for_its_time_ends_when_it_is_cancelled(live: Live) -> None:
    await ready(live, 1, more="scheduled_at: 2099-01-01 10:00\ntimezone: recipient")
    await live.start_worker()
    assert (await campaigns.start(live.connection, "sale")).status == "scheduled"
    handle = live.connection.temporal.get_workflow_handle("campaign:sale", result_type=CampaignResult)
    assert (await campaigns.cancel(live.connection, "sale")).changed
    result = await asyncio.wait_for(handle.result(), 20)
    assert (result.status, result.counts) == ("cancelled", {})


async def test_cancelling_the_workflow_itself_cancels_the_campaign(live: Live) -> None:
    """As an operator may do in the Web UI."""
    await ready(live, 12, min_delay=0.3, max_delay=0.4)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await settled(live, 2)
    handle = live.connection.temporal.get_workflow_handle("campaign:sale")
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    done = await campaigns.campaign_status(live.connection, "sale")
    assert done.status == "cancelled"
    assert done.ended_at is not None
    assert done.messages.unsettled == 0
    assert await run_status(live, "campaign:sale") is WorkflowExecutionStatus.CANCELED


async def test_retry_failed_sends_the_failed_ones_again_and_no_others(live: Live) -> None:
    await ready(live, 12)
    await live.scenario.faults({"kind": "refuse", "phone": phone(3)}, {"kind": "refuse", "phone": phone(4)})
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    done = await finished(live)
    assert (done.messages.sent, done.messages.failed) == (10, 2)
    await live.scenario.faults({"kind": "refuse", "phone": phone(4)})
    retried = await campaigns.retry_failed(live.connection, "sale")
    assert (retried.changed, retried.messages, retried.status) == (True, 2, "running")
    done = await finished(live)
    assert (done.status, done.messages.sent, done.messages.failed) == ("finished", 11, 1)
    assert max(Counter(row["phone"] for row in await live.scenario.accepted()).values()) == 1
    asked = Counter(row["phone"] for row in await live.scenario.requests())
    assert asked == {phone(i): 2 if i in (3, 4) else 1 for i in range(12)}
    await kept(live)


async def test_a_device_that_is_offline_or_paused_holds_up_its_own_leads_only(live: Live) -> None:
    await ready(live, 6)
    offline, paused = f"{live.scenario.device}-off", f"{live.scenario.device}-held"
    for device, first in ((offline, 100), (paused, 200)):
        await live.scenario.add_device(device=device)
        await live.scenario.add_leads(6, device=device, first=first)
    await live.scenario.faults({"kind": "offline", "device": offline})
    await devices.pause(live.connection, paused, "being charged")
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await settled(live, 6)
    assert len(await live.scenario.accepted()) == 6
    progress = await campaigns.campaign_status(live.connection, "sale")
    assert (progress.status, progress.messages.sent, progress.messages.unsettled) == ("running", 6, 12)
    await live.scenario.faults()

    async def all_held() -> bool:
        held: int = await live.scenario.pool.fetchval(
            "select count(*) from broadcast_messages where reason like '%being charged'"
        )
        return held == 6

    await until(all_held)
    assert (await devices.resume(live.connection, paused)).contacts_woken == 6
    assert (await finished(live)).messages.sent == 18
    assert len(await live.scenario.accepted(offline)) == len(await live.scenario.accepted(paused)) == 6
    await kept(live)


async def test_two_campaigns_and_a_sequence_share_a_devices_pace(live: Live) -> None:
    await ready(live, 4, min_delay=0.2, max_delay=0.3)
    await live.scenario.apply_campaign(CAMPAIGN.format(name="again", more=""))
    await live.scenario.apply(
        'sequence: story\nsteps:\n  - {id: a, day: 1, text: "One"}\n  - {id: b, after: 1s, text: "Two"}\n'
    )
    await live.start_worker()
    await asyncio.gather(
        *(campaigns.start(live.connection, name) for name in ("sale", "again")),
        *(
            enrollment.enroll(live.connection, "story", phone(i), device=live.scenario.device)
            for i in range(3)
        ),
    )
    await asyncio.gather(finished(live), finished(live, "again"), live.all_over(3))
    assert len(await live.scenario.accepted()) == 4 + 4 + 3 * 2
    arrived = sorted(datetime.fromisoformat(row["received_at"]) for row in await live.scenario.requests())
    assert min((b - a).total_seconds() for a, b in itertools.pairwise(arrived)) >= 0.2


async def test_an_operators_terminations_are_made_good_by_resume(live: Live) -> None:
    """The campaign's own workflow, which feeds, and a lead's were terminated: the ledger knows what is missing."""
    await ready(live, 10, min_delay=0.15, max_delay=0.2)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await settled(live, 3)
    temporal = live.connection.temporal
    await temporal.get_workflow_handle("campaign:sale").terminate("a slip")
    waiting: str = await live.scenario.pool.fetchval(
        "select recipient_phone from broadcast_messages where status = 'queued' order by slot_at desc limit 1"
    )
    await temporal.get_workflow_handle(f"campaign:sale:{waiting}").terminate("a slip")
    await campaigns.resume(live.connection, "sale")
    assert (await finished(live)).messages.sent == 10
    await exactly_once(live, 10)


@pytest.mark.timeout(170)
@pytest.mark.parametrize("fan_out", ["children", pytest.param("eager", marks=pytest.mark.long)])
async def test_workers_killed_in_the_middle_of_a_campaign(live: Live, fan_out: str) -> None:
    """At random moments of freezing, feeding and sending."""
    await ready(live, 60, more=f"fan_out: {fan_out}")
    await live.scenario.faults(
        {"kind": "latency", "seconds": 0.05, "to_seconds": 1.5},
        {"kind": "latency", "seconds": 0.05, "to_seconds": 1.5, "after_accepting": True},
    )
    moments = random.Random(SEED)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    worker = await live.start_worker()
    for _ in range(2):
        await asyncio.sleep(moments.uniform(1.5, 3.0))
        await live.kill(worker)
        worker = await live.start_worker()
    done = await finished(live, seconds=120)
    assert (done.messages.sent, done.messages.total) == (60, 60)
    await exactly_once(live, 60)
    await kept(live)
