"""A shard that is fed, between two looks: errors, a worker that is to end, and news that comes while it is busy."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from temporalio import activity
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities import campaigns
from activities.campaigns import CampaignActivities
from messaging.campaigns.contract import FeedPage, FeedRequest
from messaging.campaigns.feed import PAGE
from messaging.sending.outcomes import MessageRef
from tests.support import temporal_time
from tests.support.frozen import NOW, running
from tests.support.scenario import Scenario
from worker import sandbox
from workflows.campaign_shard import CampaignShardWorkflow
from workflows.feeding import FeedState

LEADS = 3 * PAGE


class Starts:
    """Stands in for Temporal, which cannot be made to refuse the one call that is meant."""

    def __init__(self, refuse_from: int | None = None) -> None:
        self.begun: Counter[str] = Counter()
        self.refuse_from = refuse_from

    async def __call__(self, _: object, lead: MessageRef, *, task_queue: str) -> None:
        assert task_queue
        if self.refuse_from is not None and self.begun.total() >= self.refuse_from:
            raise ConnectionError("Temporal is away")
        self.begun[lead.phone] += 1


@pytest.fixture
async def first(scenario: Scenario) -> FeedRequest:
    await scenario.add_device()
    await scenario.add_leads(LEADS)
    return FeedRequest(
        campaign_id=await running(scenario, "fan_out: eager"),
        campaign="sale",
        shard=0,
        shards=1,
        positions={},
    )


def activities_of(scenario: Scenario) -> CampaignActivities:
    async def clock() -> datetime:
        return NOW

    return CampaignActivities(scenario.pool, clock, long_poll=timedelta(0))


def environment() -> ActivityEnvironment:
    return ActivityEnvironment(client=object())  # type: ignore[arg-type] # only handed on to Starts


async def test_what_was_begun_before_an_error_is_not_gone_through_again(
    scenario: Scenario, first: FeedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts(refuse_from=2 * PAGE)
    monkeypatch.setattr(campaigns, "start_lead", starts)
    feed = activities_of(scenario).feed
    fed = await environment().run(feed, first)
    assert (fed.begun, fed.settled, fed.exhausted) == (2 * PAGE, False, False)
    following = first.model_copy(update={"positions": fed.positions})
    with pytest.raises(ConnectionError, match="Temporal is away"):  # now the server repeats it, and shows why
        await environment().run(feed, following)
    starts.refuse_from = None
    assert (await environment().run(feed, following)).begun == PAGE
    assert len(starts.begun) == LEADS
    assert set(starts.begun.values()) == {1}


async def test_a_worker_that_is_to_end_begins_no_further_page(
    scenario: Scenario, first: FeedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "start_lead", Starts())
    ending = environment()
    ending.worker_shutdown()
    assert (await ending.run(activities_of(scenario).feed, first)).begun == PAGE


async def test_news_that_comes_while_it_feeds_has_it_look_from_the_beginning() -> None:
    asked: list[dict[str, int]] = []

    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter, test_server_existing_path=temporal_time.test_server()
    ) as temporal:

        @activity.defn
        async def feed(request: FeedRequest) -> FeedPage:
            asked.append(request.positions)
            if len(asked) == 1:
                await temporal.client.get_workflow_handle("shard").signal("changed")
            return FeedPage(
                status="running",
                positions={"device": 5},
                settled=True,
                exhausted=True,
                next_due_at=None,
                fan_out="children",
                messages=(),
            )

        request = FeedRequest(campaign_id=1, campaign="sale", shard=0, shards=1, positions={"device": 3})
        async with Worker(
            temporal.client,
            task_queue=temporal_time.TASK_QUEUE,
            workflows=[CampaignShardWorkflow],
            activities=[feed],
            workflow_runner=sandbox(),
        ):
            await temporal.client.execute_workflow(
                CampaignShardWorkflow.run,
                FeedState(request=request),
                id="shard",
                task_queue=temporal_time.TASK_QUEUE,
            )
    assert asked == [{"device": 3}, {}]
