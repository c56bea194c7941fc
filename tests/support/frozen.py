"""A campaign whose audience stands, without a workflow."""

from datetime import UTC, datetime

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from tests.support.scenario import Scenario

__all__ = ["CAMPAIGN", "NOW", "running"]

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
