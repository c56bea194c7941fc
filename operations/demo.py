"""The demonstration: real servers, sequences whose steps are seconds apart, and a campaign."""

from pathlib import Path

from messaging.devices.device import DeviceSettings
from messaging.reporting.device_progress import DeviceProgress, device_progress
from messaging.sequences.contract import SweepTotals
from operations import campaigns, devices, leads, sequences
from operations.campaigns import CampaignChange
from operations.connection import Drumbeat
from operations.enrollment import enroll_by_trigger
from operations.leads import LeadsImported

__all__ = ["DEVICE", "EXAMPLES", "Progress", "enroll_all", "look", "prepare", "start_campaign"]

EXAMPLES = Path(__file__).parent.parent / "examples"
DEVICE = "demo"
CAMPAIGN = "half-price-today"


class Progress(DeviceProgress):
    """The progress of the demonstration; contacts and messages of its own device only."""

    campaign_over: bool
    """True also if it was not started, as no lead would get it."""


async def prepare(drumbeat: Drumbeat, file: Path, default_region: str) -> tuple[LeadsImported, list[str]]:
    """Creates a device on the simulated gateway, the leads and the sequences; answers the import's summary and the
    active triggers.
    """
    await devices.add(drumbeat, DeviceSettings(id=DEVICE, gateway="simulated", min_delay=0, max_delay=0))
    summary = await leads.import_leads(
        drumbeat,
        file,
        leads.ImportOptions(
            device=DEVICE,
            default_region=default_region,
            rejects=drumbeat.settings.home / f"{file.stem}.rejects.csv",
        ),
    )
    await sequences.apply(drumbeat, sorted((EXAMPLES / "demo" / "sequences").glob("*.yaml")))
    listed = await sequences.list_sequences(drumbeat)
    return summary, [one.trigger for one in listed if one.trigger and one.status == "active"]


async def start_campaign(drumbeat: Drumbeat) -> CampaignChange:
    """Starts a campaign: one message to every prospect of the niche, whatever sequences they are in.

    Raises NoAudience if there is no such lead: a file of the user's own may have other niches.
    """
    await campaigns.apply(drumbeat, [EXAMPLES / "demo" / "campaign.yaml"])
    return await campaigns.start(drumbeat, CAMPAIGN)


async def enroll_all(drumbeat: Drumbeat, triggers: list[str]) -> SweepTotals:
    """Enrolls every lead that has one of the triggers."""
    totals = SweepTotals()
    for trigger in triggers:
        totals = totals.plus(await enroll_by_trigger(drumbeat, trigger))
    return totals


async def look(drumbeat: Drumbeat) -> Progress:
    """How far it is."""
    progress = await device_progress(await drumbeat.pool(), DEVICE)
    campaign = await campaigns.campaign_status(drumbeat, CAMPAIGN)
    return Progress(
        **progress.model_dump(), campaign_over=campaign.ended_at is not None or campaign.status == "draft"
    )
