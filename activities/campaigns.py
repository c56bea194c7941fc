"""The activities of a campaign: read its state, freeze its audience, feed, watch, close, finish."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import activity

from activities.heartbeat import heartbeats
from activities.pacing import batches, kept_up
from activities.refusals import refused_for_good
from messaging.campaigns import feed as campaign_feed
from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.audience import SHARD_SIZE, freeze_audience
from messaging.campaigns.contract import CampaignProgress, CampaignState, FeedPage, FeedRequest, Frozen
from messaging.campaigns.to_signal import note_seen
from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from temporal.bulk import each, signal_each
from temporal.campaigns import start_lead
from temporal.ids import campaign_lead_workflow_id

__all__ = ["LONG_POLL", "CampaignActivities"]

LONG_POLL = timedelta(seconds=5)
"""How long an activity waits for something to appear in the ledger before it answers that there is nothing."""

LOOK_EVERY = 0.1
"""Seconds."""

FEED_FOR = 10.0
"""Seconds after which an activity that starts leads' workflows returns its position, even if more are left to start."""

Seen = TypeVar("Seen")


class CampaignActivities:
    """One instance for a worker; its tasks share the pool."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock = database_clock,
        long_poll: timedelta = LONG_POLL,
        shard_size: int = SHARD_SIZE,
    ) -> None:
        """``long_poll`` is real time: pass zero where ``clock`` is not the real one."""
        self._pool = pool
        self._clock = clock
        self._long_poll = long_poll
        self._shard_size = shard_size

    @activity.defn
    async def campaign_state(self, campaign: str) -> CampaignState:
        """Reads from its row where a campaign stands and when it is to start; notes that the workflow has seen the
        row.
        """
        with refused_for_good(f"the campaign {campaign!r}"):
            async with self._pool.acquire() as connection:
                await note_seen(connection, campaign)
                return await campaigns.campaign_state(connection, campaign, now=await self._clock())

    @activity.defn
    async def freeze_audience(self, campaign_id: int) -> Frozen:
        """Gives every lead of the target its row in the ledger. Repeating it changes nothing."""
        async with heartbeats(), self._pool.acquire() as connection:
            return await freeze_audience(
                connection, campaign_id, now=await self._clock(), shard_size=self._shard_size
            )

    @activity.defn
    async def feed(self, request: FeedRequest) -> FeedPage:
        """Answers which leads' workflows to start next; waits a little until there are some.

        For a campaign with ``fan_out: eager``, this activity starts them itself, page after page, until nothing can be
        started for now or ten seconds are over. Repeating it is harmless: a workflow that runs is not started again,
        and a settled message is not found. Only the first page raises its error; after that, the answer is what was
        started.
        """
        async with heartbeats():
            page = await self._next_page(request)
            return page if page.fan_out == "children" else await self._start_eagerly(request, page)

    async def _start_eagerly(self, request: FeedRequest, page: FeedPage) -> FeedPage:
        client, task_queue = activity.client(), activity.info().task_queue
        loop = asyncio.get_running_loop()
        until, begun, fed = loop.time() + FEED_FOR, 0, None
        while True:
            try:
                if fed is not None:
                    page = await self._next_page(request)
                await each(page.messages, lambda ref: start_lead(client, ref, task_queue=task_queue))
            except Exception:
                if fed is None:
                    raise
                activity.logger.warning("the rest is begun later", exc_info=True)
                return fed
            begun += len(page.messages)
            fed = page.model_copy(update={"messages": (), "begun": begun})
            if not page.messages or loop.time() >= until or activity.is_worker_shutdown():
                return fed
            request = request.model_copy(update={"positions": page.positions})

    async def _next_page(self, request: FeedRequest) -> FeedPage:
        async def look() -> FeedPage:
            with refused_for_good("this shard"):
                return await campaign_feed.feed_page(self._pool, request, now=await self._clock())

        return await self._look_for(look, lambda page: bool(page.messages) or page.settled)

    @activity.defn
    async def watch_campaign(self, campaign_id: int, about_to_end: bool) -> CampaignProgress:
        """Counts how far a campaign is; settles messages that have expired, and waits a little if the campaign may be
        about to end.
        """
        await campaign_feed.close_over(self._pool, campaign_id, now=await self._clock())
        if about_to_end:
            await self._look_for(
                lambda: campaign_feed.is_settled(self._pool, campaign_id), lambda settled: settled
            )
        return await campaign_feed.progress(self._pool, campaign_id, now=await self._clock())

    @activity.defn
    async def close_campaign(self, campaign: CampaignState) -> None:
        """Closes the unsent messages of a cancelled campaign, and wakes the workflows that wait with one, so that they
        end.
        """
        async with heartbeats():
            await self._close(campaign)

    async def _close(self, campaign: CampaignState) -> None:
        # Begun messages come first: their rows are closed by the claim, so a repeated attempt finds those that this one
        # missed.
        phones = await campaign_feed.phones_under_way(self._pool, campaign.campaign_id)
        for some in batches(phones):
            begun = [campaign_lead_workflow_id(campaign.campaign, phone) for phone in some]
            await signal_each(activity.client(), begun, "wake")
            await kept_up(
                lambda some=some: campaign_feed.under_way(self._pool, campaign.campaign_id, some)  # type: ignore[misc]
            )
        while await campaign_feed.close_page(self._pool, campaign.campaign_id):
            pass

    @activity.defn
    async def cancel_campaign(self, campaign: str) -> None:
        """Cancels the campaign because an operator cancelled its workflow. A campaign that is over stays as it is."""
        async with self._pool.acquire() as connection:
            state = await campaigns.campaign_state(connection, campaign, now=None)
            if state.status != "finished":
                await campaigns.cancel_campaign(connection, campaign)

    @activity.defn
    async def finish_campaign(self, campaign_id: int) -> bool:
        """Ends a campaign whose messages are all settled; False if one is not."""
        async with self._pool.acquire() as connection:
            return await campaigns.finish_campaign(connection, campaign_id)

    async def _look_for(self, look: Callable[[], Awaitable[Seen]], found: Callable[[Seen], bool]) -> Seen:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._long_poll.total_seconds()
        while True:
            began = loop.time()
            seen = await look()
            if found(seen) or loop.time() >= deadline:
                return seen
            # Polling takes at most a tenth of the time, so that a large campaign does not load the database with it.
            await asyncio.sleep(max(LOOK_EVERY, 9 * (loop.time() - began)))
