"""A shard that is fed, between two looks: errors, a worker that is to end, and news that comes while it is busy."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities import campaigns
from activities.campaigns import CampaignActivities
from messaging.campaigns.contract import FeedPage, FeedRequest
from messaging.campaigns.feed import PAGE
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import MessageOutcome, MessageRef, Settled
from rig.people import phone
from tests.support import temporal_time
from tests.support.frozen import NOW, running
from tests.support.scenario import Scenario
from worker import sandbox
from workflows.campaign_shard import CampaignShardWorkflow
from workflows.feeding import FeedState
from workflows.message import MessageWorkflow

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


REF = MessageRef(
    message_id=UUID("6f6e2ed2-6a5f-4f3a-9b39-2d2f7d0c1a11"),
    phone=phone(1),
    device_id="device",
    campaign="sale",
)

Look = Callable[[FeedRequest, Client], Awaitable[FeedPage]]


def page(*messages: MessageRef, settled: bool) -> FeedPage:
    return FeedPage(
        status="running",
        fan_out="children",
        messages=messages,
        positions={"device": 5},
        settled=settled,
        exhausted=not messages,
        next_due_at=None,
    )


async def feed_shard(positions: dict[str, int], look: Look) -> list[str]:
    """Feeds the pages that ``look`` finds, while time goes by as fast as nothing happens; the phones in their order."""
    sent: list[str] = []
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter, test_server_existing_path=temporal_time.test_server()
    ) as temporal:
        await temporal_time.register_search_attributes(temporal)

        @activity.defn
        async def feed(request: FeedRequest) -> FeedPage:
            return await look(request, temporal.client)

        @activity.defn
        async def send_message(ref: MessageRef) -> MessageOutcome:
            sent.append(ref.phone)
            return Settled(message_id=ref.message_id, status=MessageStatus.SENT)

        request = FeedRequest(campaign_id=1, campaign="sale", shard=0, shards=1, positions=positions)
        async with Worker(
            temporal.client,
            task_queue=temporal_time.TASK_QUEUE,
            workflows=[CampaignShardWorkflow, MessageWorkflow],
            activities=[feed, send_message],
            workflow_runner=sandbox(),
        ):
            await temporal.client.execute_workflow(
                CampaignShardWorkflow.run,
                FeedState(request=request),
                id="shard",
                task_queue=temporal_time.TASK_QUEUE,
            )
    return sent


async def test_news_that_comes_while_it_feeds_has_it_look_from_the_beginning() -> None:
    asked: list[dict[str, int]] = []

    async def look(request: FeedRequest, client: Client) -> FeedPage:
        asked.append(request.positions)
        if len(asked) == 1:
            await client.get_workflow_handle("shard").signal("changed")
        return page(settled=True)

    assert await feed_shard({"device": 3}, look) == []
    assert asked == [{"device": 3}, {}]


async def test_a_lead_whose_workflow_is_gone_is_started_again_when_nothing_has_moved_for_long() -> None:
    """Its workflow ended, and the ledger does not have its message as settled."""
    asked: list[dict[str, int]] = []

    async def look(request: FeedRequest, _: Client) -> FeedPage:
        asked.append(request.positions)
        if not request.positions:
            return page(REF, settled=False)
        return page(settled=asked.count({}) == 2)

    assert await feed_shard({}, look) == [REF.phone, REF.phone]
    assert asked[0] == {}
    assert asked.index({}, 1) > 20, "it is looked for every half minute at first"
