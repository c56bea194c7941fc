"""A campaign whose audience stands, without a workflow, and what feeds it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.contract import FeedPage, FeedRequest
from messaging.campaigns.feed import PAGE, feed_page
from messaging.campaigns.lifecycle import begin_campaign, cancel_campaign, pause_campaign, resume_campaign
from messaging.common.database import Pool
from messaging.sending.outcomes import MessageRef
from tests.support.scenario import Scenario

__all__ = ["CAMPAIGN", "NOW", "Shard", "devices", "phones", "running", "settle", "statuses", "steer"]

NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)
CAMPAIGN = "campaign: {name}\ntarget: {{status: all}}\ntext: Hello\n"


async def running(
    scenario: Scenario, *more: str, name: str = "sale", shard_size: int = 10_000, start_now: bool = True
) -> int:
    """A campaign to all leads, started at 02:00; ``more`` are lines of its file."""
    await scenario.apply_campaign(CAMPAIGN.format(name=name) + "".join(f"{line}\n" for line in more))
    async with scenario.pool.acquire() as connection:
        _, plan = await begin_campaign(connection, name, start_now=start_now, now=NOW)
        assert (await freeze_audience(connection, plan.campaign_id, now=NOW, shard_size=shard_size)).frozen
    return plan.campaign_id


class Shard:
    """A shard whose parent begins what it is given."""

    def __init__(self, pool: Pool, campaign: int, *, shard: int = 0, shards: int = 1) -> None:
        self.positions: dict[str, int] = {}
        self._pool = pool
        self._campaign = campaign
        self._shard = shard
        self._shards = shards

    async def look(self, *, now: datetime = NOW) -> FeedPage:
        """The page that comes next; it stays the next."""
        request = FeedRequest(
            campaign_id=self._campaign,
            campaign="sale",
            shard=self._shard,
            shards=self._shards,
            positions=self.positions,
        )
        return await feed_page(self._pool, request, now=now)

    async def page(self, *, now: datetime = NOW) -> FeedPage:
        page = await self.look(now=now)
        assert len(page.messages) <= PAGE
        self.positions = page.positions
        return page

    async def everything(self) -> list[MessageRef]:
        """All that may be begun before something is settled."""
        begun: list[MessageRef] = []
        while leads := (await self.page()).messages:
            begun.extend(leads)
        return begun


def devices(leads: Sequence[MessageRef]) -> Counter[str]:
    return Counter(lead.device_id for lead in leads)


def phones(leads: Sequence[MessageRef]) -> list[str]:
    return [lead.phone for lead in leads]


async def settle(
    pool: Pool, leads: Sequence[MessageRef], status: str = "sent", *, at: datetime = NOW
) -> None:
    """Brings these messages to that status, settled or not."""
    await pool.execute(
        "update broadcast_messages set status = $2::text, sent_at = case when $2 = 'sent' then $3::timestamptz end,"
        " processing_worker_id = 'w', claimed_at = $3 where id = any ($1)",
        [lead.message_id for lead in leads],
        status,
        at,
    )


async def statuses(pool: Pool) -> dict[str, str]:
    """By phone."""
    return {
        row["recipient_phone"]: row["status"]
        for row in await pool.fetch("select recipient_phone, status from broadcast_messages")
    }


async def steer(pool: Pool, action: str) -> None:
    async with pool.acquire() as connection:
        match action:
            case "pause":
                await pause_campaign(connection, "sale")
            case "resume":
                await resume_campaign(connection, "sale")
            case "cancel":
                await cancel_campaign(connection, "sale")
