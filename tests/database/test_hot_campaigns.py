"""The queries that run for every page of a campaign, and those that are polled while it runs."""

from collections.abc import Callable

import pytest

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.contract import FeedRequest
from messaging.campaigns.lifecycle import finish_campaign
from messaging.common.database import Pool
from tests.support.big_ledger import NOW, Big
from tests.support.query_costs import Case, Limit, needs_its_index, stays_small

pytestmark = pytest.mark.timeout(400)


def _feed(after: Callable[[Big], int] | None, shards: int = 10, *, over: bool = False) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        positions = {} if after is None else {f"hot-{number}": after(big) for number in range(5)}
        request = FeedRequest(
            campaign_id=big.over if over else big.campaign,
            campaign="C3" if over else "C8",
            shard=3,
            shards=shards,
            positions=positions,
        )
        page = await campaign_feed.feed_page(pool, request, now=NOW)
        assert page.settled == over

    return case


async def _is_settled(pool: Pool, big: Big) -> None:
    assert not await campaign_feed.is_settled(pool, big.campaign)


async def _is_settled_at_the_end(pool: Pool, big: Big) -> None:
    assert await campaign_feed.is_settled(pool, big.over)


async def _progress(pool: Pool, big: Big) -> None:
    assert (await campaign_feed.progress(pool, big.campaign, now=None)).unsettled == big.half


async def _finish_campaign(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        assert not await finish_campaign(connection, big.campaign)


async def _close_page(pool: Pool, big: Big) -> None:
    # All but those that are at the gateway.
    waiting = big.half - 100
    assert await campaign_feed.close_page(pool, big.campaign) == min(waiting, campaign_feed.CLOSED_TOGETHER)


async def _close_page_of_others(pool: Pool, big: Big) -> None:
    assert await campaign_feed.close_page(pool, big.campaign) == 0


CASES: dict[str, tuple[Case, Limit]] = {
    # For every page. A shard's next page is read from 50 messages of each device with their leads, and counts what is under way: five
    # windows of 20 where ten shards share a device, of 200 where there is one.
    "feed, the first page": (_feed(None), Limit(rows=600, buffers=1_500)),
    "feed, in the middle": (_feed(lambda big: big.half + 1_000), Limit(rows=800, buffers=1_000)),
    "feed, full windows": (_feed(lambda big: big.half + 2_500, shards=1), Limit(rows=2_000, buffers=3_000)),
    "feed, at its end": (_feed(lambda big: 2 * big.half - 1, over=True), Limit(rows=10, buffers=60)),
    "page to close": (
        _close_page,
        # Once for each message, which is written.
        Limit(
            rows=20_000, buffers=400_000, before="update campaigns set status = 'cancelled' where name = 'C8'"
        ),
    ),
    "page to close of a campaign that goes on": (_close_page_of_others, Limit(rows=5, buffers=20)),
    # Polled while a campaign runs. How far it is, is one pass over its own rows: 100,000 here.
    "is settled": (_is_settled, Limit(rows=2, buffers=20)),
    "is settled, at its end": (_is_settled_at_the_end, Limit(rows=2, buffers=20)),
    "progress": (_progress, Limit(rows=100_010, buffers=5_000, grows=True)),
    # Its plan reads the index of what is not settled, which is empty where a campaign is to be finished.
    "finish": (_finish_campaign, Limit(rows=5, buffers=500)),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_stays_small(big: Big, name: str) -> None:
    await stays_small(big, *CASES[name])


@pytest.mark.parametrize(
    ("taken_away", "name"),
    [
        ("drop index broadcast_messages_feed", "feed, in the middle"),
        ("drop index broadcast_messages_feed", "is settled, at its end"),
    ],
)
async def test_without_its_index_it_does_not(big: Big, taken_away: str, name: str) -> None:
    await needs_its_index(big, *CASES[name], taken_away)
