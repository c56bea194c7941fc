"""Operations on campaigns: apply files, start, pause, resume, cancel, retry."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.apply import AppliedCampaign, apply_campaigns
from messaging.campaigns.contract import CampaignState, CampaignStatus
from messaging.campaigns.file import CampaignDraft, read_campaign
from messaging.campaigns.forecast import Forecast
from messaging.campaigns.moving import move_campaign, parse_time_and_zone
from messaging.campaigns.plan import CampaignPlan, plan_campaign
from messaging.common.database import Connection
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.transactions import rehearsed
from messaging.common.values import Value
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations import signals
from operations.connection import Drumbeat
from operations.files import read_draft
from operations.reports import campaign_status, list_campaigns

__all__ = [
    "CampaignChange",
    "CampaignStart",
    "apply",
    "campaign_status",
    "cancel",
    "list_campaigns",
    "move",
    "notify_or_start",
    "pause",
    "plan_start",
    "resume",
    "retry_failed",
    "start",
]

Answer = TypeVar("Answer")


class CampaignChange(Value):
    """The result of a command for a campaign. ``changed``: False if nothing had to change. ``messages``: how many are
    concerned.
    """

    campaign: str
    command: Literal["start", "move", "pause", "resume", "cancel", "retry-failed"]
    changed: bool
    status: CampaignStatus
    when: str = ""
    messages: int = 0
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""
    over: int = 0
    """How many failed messages are not sent again, because they have expired."""
    forecast: Forecast | None = None
    """What its time means for its leads, if it waits for its start."""


class CampaignStart(Value):
    """What a start would do. ``changes``: False if the campaign was started before."""

    campaign: str
    changes: bool
    status: CampaignStatus
    when: str
    """When it would start, in words."""
    plan: CampaignPlan
    forecast: Forecast | None = None


async def apply(drumbeat: Drumbeat, files: Sequence[Path], *, dry_run: bool = False) -> list[AppliedCampaign]:
    """Creates or edits the campaigns of YAML files: all of them, or none if one has a problem.

    A new time reaches a campaign that waits for its start. ``dry_run``: says what it would do, and changes nothing. Raises
    FileProblems (one line for each problem).
    """
    drafts = [
        read_draft(file, read_campaign, lambda document: CampaignDraft(document, None)) for file in files
    ]
    if dry_run:
        return await _in_database(
            drumbeat,
            lambda connection: rehearsed(connection, lambda: apply_campaigns(connection, drafts)),
        )
    applied = await _in_database(drumbeat, lambda connection: apply_campaigns(connection, drafts))
    for campaign in applied:
        if campaign.status in ("scheduled", "paused"):
            await notify_or_start(drumbeat, campaign.campaign)
    return applied


async def plan_start(drumbeat: Drumbeat, campaign: str, *, now: bool = False) -> CampaignStart:
    """What :func:`start` would do now: to how many leads, by which devices, and until when. Changes nothing; raises as it does."""

    async def work(connection: Connection) -> CampaignStart:
        changes, state = await campaigns.begin_campaign(connection, campaign, start_now=now)
        return CampaignStart(
            campaign=state.campaign,
            changes=changes,
            status=state.status,
            when=state.when,
            plan=await plan_campaign(connection, campaign),
            forecast=await campaigns.forecast_campaign(connection, campaign),
        )

    return await _in_database(drumbeat, lambda connection: rehearsed(connection, lambda: work(connection)))


async def start(drumbeat: Drumbeat, campaign: str, *, now: bool = False) -> CampaignChange:
    """Starts a campaign at its time, or at once if it has none or ``now`` says so.

    A campaign starts once: starting it again changes nothing, from wherever, even after it has ended. Raises NotFound,
    and Conflict for a campaign that was cancelled, whose time has passed, or that no lead would get.
    """
    changed, state = await _in_database(
        drumbeat, lambda connection: campaigns.begin_campaign(connection, campaign, start_now=now)
    )
    # Computed before its workflow freezes the audience, as there is no forecast after that.
    found = await _in_database(drumbeat, lambda connection: campaigns.forecast_campaign(connection, campaign))
    if not state.over:
        # Signal even if nothing was changed: an earlier command may have ended before its signal.
        await signals.campaign_changed(drumbeat, state)
    return CampaignChange(
        campaign=campaign,
        command="start",
        changed=changed,
        status=state.status,
        when=state.when,
        forecast=found,
    )


async def move(drumbeat: Drumbeat, campaign: str, time: str) -> CampaignChange:
    """Gives a campaign that has not started another time: ``2035-11-23 10:00``, local in the campaign's time zone, or with
    another zone after it.

    Raises NotFound, InvalidInput, and Conflict if it has started or is over, or if the time has passed.
    """
    asked = parse_time_and_zone(time)
    changed, state = await _in_database(
        drumbeat, lambda connection: move_campaign(connection, campaign, asked)
    )
    found = await _in_database(drumbeat, lambda connection: campaigns.forecast_campaign(connection, campaign))
    if state.status != "draft":
        await signals.campaign_changed(drumbeat, state)
    return CampaignChange(
        campaign=campaign,
        command="move",
        changed=changed,
        status=state.status,
        when=state.when,
        forecast=found,
    )


async def pause(drumbeat: Drumbeat, campaign: str, reason: str = "") -> CampaignChange:
    """Pauses a campaign: it sends nothing until it is resumed, and nothing is lost. Raises NotFound and Conflict.

    Returns when no more message can begin to be sent.
    """
    why = storable(reason, LONGEST_REASON) or None
    changed, status = await _in_database(
        drumbeat, lambda connection: campaigns.pause_campaign(connection, campaign, why)
    )
    await notify_or_start(drumbeat, campaign)
    under_way = await nothing_begins_any_more(await drumbeat.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, command="pause", changed=changed, status=status, under_way=under_way
    )


async def resume(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Resumes a campaign; waiting messages go out at the devices' pace. Raises NotFound and Conflict.

    It also restarts a campaign whose workflow was terminated.
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
    """Cancels a campaign for good: unsent messages are closed. Raises NotFound and Conflict.

    Returns when no more message can begin to be sent.
    """
    changed = await _in_database(drumbeat, lambda connection: campaigns.cancel_campaign(connection, campaign))
    await notify_or_start(drumbeat, campaign)
    under_way = await nothing_begins_any_more(await drumbeat.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, command="cancel", changed=changed, status="cancelled", under_way=under_way
    )


async def retry_failed(drumbeat: Drumbeat, campaign: str) -> CampaignChange:
    """Sends the failed messages of a campaign again, except expired ones. Raises NotFound and Conflict."""
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
    """Signals the campaign's workflows to read its row; starts one if the campaign is under way and none runs."""
    await signals.campaign_changed(drumbeat, await _state_of(drumbeat, campaign))
