"""Who is whose parent: a campaign of its leads, or of shards that are; and what a chain of runs begins, it begins once."""

from collections import Counter

import pytest

from messaging.campaigns import feed
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.gateways import Gateways
from operations import campaigns
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import finished, ready
from tests.support.live import Live
from worker import make_worker
from workflows import feeding

CAMPAIGN = "campaign:sale"
PAGE = 10
"""Leads that a shard is given at a time, where that is lowered."""


async def listed(live: Live, query: str) -> Counter[str]:
    """The IDs of workflows; one that ran twice counts twice."""
    return Counter([one.id async for one in live.connection.temporal.list_workflows(query)])


async def lists(live: Live, query: str, expected: set[str]) -> None:
    """Waits until the query lists these, each once; the index lags behind a little."""

    async def so() -> bool:
        return await listed(live, query) == Counter(expected)

    try:
        await until(so)
    except AssertionError:
        assert await listed(live, query) == Counter(expected)


def leads(count: int) -> set[str]:
    return {f"{CAMPAIGN}:{phone(index)}" for index in range(count)}


async def relations(live: Live, workflow_id: str) -> tuple[str | None, str | None]:
    """The parent and the root, as the Web UI shows them."""
    shown = await live.connection.temporal.get_workflow_handle(workflow_id).describe()
    return shown.parent_id, shown.root_id


async def test_a_campaign_is_the_parent_of_its_leads(live: Live) -> None:
    await ready(live, 5)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    for lead in leads(5):
        assert await relations(live, lead) == (CAMPAIGN, CAMPAIGN)
    await lists(live, f"ParentWorkflowId = '{CAMPAIGN}'", leads(5))


async def test_a_large_one_is_the_parent_of_shards_which_are_that_of_theirs(live: Live) -> None:
    await ready(live, 7)
    pool = live.scenario.pool
    async with pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None, shard_size=3)
    await live.start_worker()
    await campaigns.notify_or_start(live.connection, "sale")
    assert (await finished(live)).messages.sent == 7
    shards: dict[str, set[str]] = {}
    for row in await pool.fetch("select recipient_phone, campaign_shard from broadcast_messages"):
        shard = f"{CAMPAIGN}:shard-{row['campaign_shard']}"
        shards.setdefault(shard, set()).add(f"{CAMPAIGN}:{row['recipient_phone']}")
    assert sorted(len(of_shard) for of_shard in shards.values()) == [2, 2, 3]
    for shard, of_shard in shards.items():
        assert await relations(live, shard) == (CAMPAIGN, CAMPAIGN)
        for lead in of_shard:
            assert await relations(live, lead) == (shard, CAMPAIGN)
        await lists(live, f"ParentWorkflowId = '{shard}'", of_shard)
    await lists(live, f"ParentWorkflowId = '{CAMPAIGN}'", set(shards))
    await lists(live, f"RootWorkflowId = '{CAMPAIGN}'", {CAMPAIGN, *shards, *leads(7)})


async def test_eager_starts_have_no_parent_and_no_wait_for_a_queue(live: Live) -> None:
    await ready(live, 5, more="fan_out: eager")
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    for lead in leads(5):
        assert await relations(live, lead) == (None, lead)
        (first, *_) = (await live.connection.temporal.get_workflow_handle(lead).fetch_history()).events
        assert first.workflow_execution_started_event_attributes.eager_execution_accepted
    await lists(live, f"ParentWorkflowId = '{CAMPAIGN}'", set())


async def test_runs_that_follow_each_other_begin_every_lead_once(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run begins so many and is continued as a new one, while its children go on."""
    monkeypatch.setattr(feed, "PAGE", PAGE)
    monkeypatch.setattr(feeding, "CHILDREN_A_RUN", PAGE)
    await ready(live, 2 * PAGE + 5)
    gateways = Gateways(live.scenario.simulator_url)
    client, queue = live.connection.temporal, live.connection.settings.task_queue
    try:
        async with make_worker(client, live.scenario.pool, gateways, task_queue=queue):
            await campaigns.start(live.connection, "sale")
            assert (await finished(live)).messages.sent == 2 * PAGE + 5
    finally:
        await gateways.close()
    await lists(live, "WorkflowType = 'MessageWorkflow'", leads(2 * PAGE + 5))
    assert (await listed(live, f"WorkflowId = '{CAMPAIGN}'"))[CAMPAIGN] == 3
    assert (await listed(live, f"ParentWorkflowId = '{CAMPAIGN}'")) == Counter(leads(2 * PAGE + 5))
