"""A campaign on real servers, from its leads to its end."""

from messaging.campaigns.store import CampaignSummary
from operations import campaigns
from rig.waiting import until
from tests.support.live import Live

__all__ = ["CAMPAIGN", "finished", "ready"]

CAMPAIGN = """
campaign: {name}
title: Half price
target: {{niche: vitac}}
{more}
text: "Hi {{{{ name }}}}, half price today."
"""


async def ready(live: Live, leads: int, *, name: str = "sale", more: str = "", **device: float) -> None:
    """A device, its leads, and a campaign that goes to all of them."""
    await live.scenario.add_device(**device)  # type: ignore[arg-type]
    await live.scenario.add_leads(leads)
    await live.scenario.apply_campaign(CAMPAIGN.format(name=name, more=more))


async def finished(live: Live, campaign: str = "sale", seconds: float = 60) -> CampaignSummary:
    """Waits until it is over, workflow and all."""

    async def over() -> bool:
        return (await campaigns.campaign_status(live.connection, campaign)).ended_at is not None

    await until(over, seconds)
    await live.connection.temporal.get_workflow_handle(f"campaign:{campaign}").result()
    return await campaigns.campaign_status(live.connection, campaign)
