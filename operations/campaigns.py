"""Campaigns, as services and operators handle them: apply their files, start them, steer them, look at them."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.apply import AppliedCampaign, apply_campaigns
from messaging.campaigns.contract import CampaignPlan, CampaignStatus
from messaging.campaigns.file import CampaignDraft, read_campaign
from messaging.campaigns.forecast import Forecast
from messaging.common.database import Connection as Database
from messaging.common.errors import Unavailable
from messaging.common.values import Value
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations import signals
from operations.connection import Connection
from operations.files import read_draft
from operations.reports import campaign_status as status
from operations.reports import list_campaigns as listing
from temporal.campaigns import campaign_identity
from workflows.campaign import CampaignWorkflow

__all__ = [
    "CampaignChange",
    "apply",
    "cancel",
    "follow",
    "listing",
    "pause",
    "resume",
    "retry_failed",
    "start",
    "status",
]

Answer = TypeVar("Answer")


class CampaignChange(Value):
    """What was asked of a campaign. ``changed``: False where it was so already. ``messages``: how many it is about."""

    campaign: str
    wish: Literal["start", "pause", "resume", "cancel", "retry-failed"]
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


async def apply(connection: Connection, files: Sequence[Path]) -> list[AppliedCampaign]:
    """Creates or edits the campaigns of YAML files: all of them or, if one has a problem, none.

    A new time reaches a campaign that waits for its start. Raises FileProblems (one line for each problem) and
    Unavailable.
    """
    drafts = [
        read_draft(file, read_campaign, lambda document: CampaignDraft(document, None)) for file in files
    ]
    applied = await _database(connection, lambda database: apply_campaigns(database, drafts))
    for campaign in applied:
        if campaign.status in ("scheduled", "paused"):
            await _tell(connection, campaign.campaign)
    return applied


async def start(connection: Connection, campaign: str, *, now: bool = False) -> CampaignChange:
    """Starts a campaign at its time, or at once if it has none or ``now`` says so.

    A campaign starts once: doing it again changes nothing, whoever does it, also after the campaign has ended. Raises
    NotFound, and Conflict for one that was cancelled, whose time has passed, or that nobody would get.
    """
    changed, plan = await _database(
        connection, lambda database: campaigns.begin_campaign(database, campaign, at_once=now)
    )
    # Before its workflow freezes the audience, after which there is nothing to foretell.
    found = await _database(connection, lambda database: campaigns.forecast_campaign(database, campaign))
    if not plan.over:
        # Also when nothing was changed: somebody may have been cut off between the two.
        await _follow(connection, plan)
    return CampaignChange(
        campaign=campaign, wish="start", changed=changed, status=plan.status, when=plan.when, forecast=found
    )


async def pause(connection: Connection, campaign: str) -> CampaignChange:
    """Holds everything that the campaign would send, from now on; nothing is lost. Raises NotFound and Conflict.

    Answers when nothing more can begin to be sent.
    """
    changed, status = await _database(
        connection, lambda database: campaigns.pause_campaign(database, campaign)
    )
    await _tell(connection, campaign)
    under_way = await nothing_begins_any_more(await connection.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, wish="pause", changed=changed, status=status, under_way=under_way
    )


async def resume(connection: Connection, campaign: str) -> CampaignChange:
    """Ends the pause; what waited goes out at the devices' pace. Raises NotFound, Conflict and Unavailable.

    It also gets a campaign going again whose workflow was ended by hand.
    """
    changed, status = await _database(
        connection, lambda database: campaigns.resume_campaign(database, campaign)
    )
    found = await _database(connection, lambda database: campaigns.forecast_campaign(database, campaign))
    woken = await signals.wake_held(connection, "campaign", campaign)
    await _tell(connection, campaign)
    return CampaignChange(
        campaign=campaign,
        wish="resume",
        changed=changed,
        status=status,
        messages=woken,
        forecast=found if changed else None,
    )


async def cancel(connection: Connection, campaign: str) -> CampaignChange:
    """Ends a campaign for good: what was not sent is closed. Raises NotFound and Conflict.

    Answers when nothing more can begin to be sent.
    """
    changed = await _database(connection, lambda database: campaigns.cancel_campaign(database, campaign))
    await _tell(connection, campaign)
    under_way = await nothing_begins_any_more(await connection.pool(), campaign=campaign)
    return CampaignChange(
        campaign=campaign, wish="cancel", changed=changed, status="cancelled", under_way=under_way
    )


async def retry_failed(connection: Connection, campaign: str) -> CampaignChange:
    """Sends the failed messages of a campaign again, and no others; none that is over. Raises NotFound and Conflict."""
    messages = await _database(connection, lambda database: campaigns.retry_failed(database, campaign))
    over = await _database(connection, lambda database: campaigns.failed_and_over(database, campaign))
    plan = await _plan(connection, campaign)
    if not plan.over:
        await _tell(connection, campaign)
    return CampaignChange(
        campaign=campaign,
        wish="retry-failed",
        changed=messages > 0,
        status=plan.status,
        messages=messages,
        over=over,
    )


async def _database(connection: Connection, work: Callable[[Database], Awaitable[Answer]]) -> Answer:
    async with (await connection.pool()).acquire() as database:
        return await work(database)


async def follow(connection: Connection, campaign: str) -> None:
    """Has the campaign's workflows look at its row anew, which something else has changed."""
    await _tell(connection, campaign)


async def _plan(connection: Connection, campaign: str) -> CampaignPlan:
    return await _database(connection, lambda database: campaigns.plan_campaign(database, campaign, now=None))


async def _tell(connection: Connection, campaign: str) -> None:
    """Has the campaign's workflows look at its row anew; where it is under way and none runs, one is started."""
    plan = await _plan(connection, campaign)
    try:
        await signals.campaign_changed(connection, plan)
        if not plan.over:
            await _follow(connection, plan)
    except RPCError as error:
        raise Unavailable(
            f"campaign {campaign} is {plan.status} now, but Temporal could not tell its running workflows"
            f" ({error.message}): give the command again"
        ) from error


async def _follow(connection: Connection, plan: CampaignPlan) -> None:
    """Tells the campaign's workflow to look at its row; starts it where none is running."""
    if plan.status == "draft":
        return
    identity = campaign_identity(plan.campaign, plan.title)
    await connection.temporal.start_workflow(
        CampaignWorkflow.run,
        plan.campaign,
        id=identity.workflow_id,
        task_queue=connection.settings.task_queue,
        # The row tells whether anything is to be done; a second run finds out, and ends.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="changed",
        search_attributes=identity.search_attributes,
        static_summary=identity.summary,
    )
