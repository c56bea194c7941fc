"""Campaigns, as services and operators handle them: apply their files, start, pause, resume and cancel them, look at them."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.apply import AppliedCampaign, apply_campaigns
from messaging.campaigns.contract import CampaignState, CampaignStatus
from messaging.campaigns.file import CampaignDraft, read_campaign
from messaging.campaigns.forecast import Forecast
from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations import signals
from operations.connection import Drumbeat
from operations.files import read_draft
from operations.reports import campaign_status, list_campaigns

__all__ = [
    "CampaignChange",
    "apply",
    "campaign_status",
    "cancel",
    "list_campaigns",
    "notify_or_start",
    "pause",
    "resume",
    "retry_failed",
    "start",
]

Answer = TypeVar("Answer")


class CampaignChange(Value):
    """What came of a command for a campaign. ``changed``: False where it was so already. ``messages``: how many it is about."""

    campaign: str
    command: Literal["start", "pause", "resume", "cancel", "retry-failed"]
    changed: bool
    status: CampaignStatus
    when: str = ""
    messages: int = 0
    under_way: tuple[UnderWay, ...] = ()
    """What an attempt had in its hands already."""
    over: int = 0
    """Failed messages that are not sent again, as it is over for them."""
    forecast: Forecast | None = None
    """What its time means for its leads, where it waits for its start."""


async def apply(drumbeat: Drumbeat, files: Sequence[Path]) -> list[AppliedCampaign]:
    """Creates or edits the campaigns of YAML files: all of them or, if one has a problem, none.

    A new time reaches a campaign that waits for its start. Raises FileProblems (one line for each problem).
    """
    drafts = [
        read_draft(file, read_campaign, lambda document: CampaignDraft(document, None)) for file in files
    ]
    applied = await _in_database(drumbeat, lambda connection: apply_campaigns(connection, drafts))
    for campaign in applied:
        if campaign.status in ("scheduled", "paused"):
            await notify_or_start(drumbeat, campaign.campaign)
    return applied


async def start(drumbeat: Drumbeat, campaign: str, *, now: bool = False) -> CampaignChange:
    """Starts a campaign at its time, or at once if it has none or ``now`` says so.

    A campaign starts once: doing it again changes nothing, also elsewhere, and also after the campaign has ended. Raises
    NotFound, and Conflict for one that was cancelled, whose time has passed, or that no lead would get.
    """
    changed, state = await _in_database(
        drumbeat, lambda connection: campaigns.begin_campaign(connection, campaign, start_now=now)
    )
    # Before its workflow freezes the audience, after which there is nothing to foretell.
    found = await _in_database(drumbeat, lambda connection: campaigns.forecast_campaign(connection, campaign))
    if not state.over:
        # Also when nothing was changed: an earlier command may have ended between the two.
        await signals.campaign_changed(drumbeat, state)
    return CampaignChange(
        campaign=campaign,
        command="start",
        changed=changed,
        status=state.status,
        when=state.when,
        forecast=found,
    )


async def pause(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Holds everything that the campaign would send, from now on; nothing is lost. Raises NotFound and Conflict.

    Answers when nothing more can begin to be sent.
    """
    changed, status = await _in_database(
        drumbeat, lambda connection: campaigns.pause_campaign(connection, campaign)
    )
    await notify_or_start(drumbeat, campaign)
    under_way = await nothing_begins_any_more(await drumbeat.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, command="pause", changed=changed, status=status, under_way=under_way
    )


async def resume(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Ends the pause; what waited goes out at the devices' pace. Raises NotFound and Conflict.

    It also gets a campaign going again whose workflow was ended by hand.
    """
    changed, status = await _in_database(
        drumbeat, lambda connection: campaigns.resume_campaign(connection, campaign)
    )
    found = await _in_database(drumbeat, lambda connection: campaigns.forecast_campaign(connection, campaign))
    woken = await signals.wake_held(drumbeat, "campaign", campaign)
    await notify_or_start(drumbeat, campaign)
    return CampaignChange(
        campaign=campaign,
        command="resume",
        changed=changed,
        status=status,
        messages=woken,
        forecast=found if changed else None,
    )


async def cancel(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Ends a campaign for good: what was not sent is closed. Raises NotFound and Conflict.

    Answers when nothing more can begin to be sent.
    """
    changed = await _in_database(drumbeat, lambda connection: campaigns.cancel_campaign(connection, campaign))
    await notify_or_start(drumbeat, campaign)
    under_way = await nothing_begins_any_more(await drumbeat.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, command="cancel", changed=changed, status="cancelled", under_way=under_way
    )


async def retry_failed(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Sends the failed messages of a campaign again, and no others; none that is over. Raises NotFound and Conflict."""
    messages = await _in_database(drumbeat, lambda connection: campaigns.retry_failed(connection, campaign))
    over = await _in_database(drumbeat, lambda connection: campaigns.failed_and_over(connection, campaign))
    state = await _state_of(drumbeat, campaign)
    if not state.over:
        await notify_or_start(drumbeat, campaign)
    return CampaignChange(
        campaign=campaign,
        command="retry-failed",
        changed=messages > 0,
        status=state.status,
        messages=messages,
        over=over,
    )


async def _in_database(drumbeat: Drumbeat, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    async with (await drumbeat.pool()).acquire() as connection:
        return await work(connection)


async def _state_of(drumbeat: Drumbeat, campaign: str) -> CampaignState:
    return await _in_database(
        drumbeat, lambda connection: campaigns.campaign_state(connection, campaign, now=None)
    )


async def notify_or_start(drumbeat: Drumbeat, campaign: str) -> None:
    """Has the campaign's workflows look at its row anew; where it is under way and none runs, one is started."""
    await signals.campaign_changed(drumbeat, await _state_of(drumbeat, campaign))
