"""The workflow of a campaign: it waits for the start, freezes the audience, has it fed, and ends when all messages are
settled.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ParentClosePolicy

from workflows.campaign_display import CampaignDisplay
from workflows.campaign_shard import CampaignShardWorkflow
from workflows.campaign_updates import CampaignUpdates
from workflows.control import wait
from workflows.feeding import Feeding, FeedState
from workflows.options import DEAD_AFTER, QUICK, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from messaging.campaigns.contract import CampaignProgress, CampaignState, CampaignStatus, FeedRequest
    from messaging.common.values import Value
    from messaging.events.acting import WEB_UI, acting
    from temporal.actors import starter_of_this_run
    from temporal.campaigns import campaign_identity
    from temporal.ids import campaign_shard_workflow_id

__all__ = ["CampaignResult", "CampaignRun", "CampaignWorkflow"]

FREEZE = timedelta(minutes=15)
"""Start to close: one statement, whatever the size; about a minute for a million leads."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
"""The longest time between two checks of the progress."""

STALLED = 20
"""Checks without any progress, after which it makes sure that its shards are still fed."""

WHILE_FEEDING = timedelta(seconds=5)
"""The time between two checks while there are leads to begin, as each check reads all messages of the campaign."""

RECHECK = timedelta(hours=6)
"""A waiting campaign is signalled about changes. If the signal is lost, it looks again after this time."""


class CampaignRun(Value):
    """The input of CampaignWorkflow. ``feed``: the feeding state of the run before, if that fed the campaign itself."""

    campaign: str
    feed: FeedState | None = None
    retry_failed: bool = False
    """Of a run that an operator starts in the Web UI after the campaign has ended: to send its failed messages again."""


class CampaignResult(Value):
    """How a campaign ended. ``counts``: its messages by status."""

    status: CampaignStatus
    counts: dict[str, int]
    opted_out: int
    without_device: int
    passed: int
    without_consent: int = 0
    reason: str | None = None


@workflow.defn
class CampaignWorkflow(CampaignUpdates):
    """Follows the campaign's row, which is the truth: a new run at any time goes on from the state of the row."""

    @workflow.init
    def __init__(self, run: CampaignRun) -> None:
        self._changed = False
        super().__init__(run.campaign)
        self._display = CampaignDisplay(run.campaign)
        self._progress: CampaignProgress | None = None
        self._feeding = Feeding(run.feed) if run.feed is not None else None
        self._fed: asyncio.Task[bool] | None = None
        self._fed_enough = False

    @workflow.run
    async def run(self, run: CampaignRun) -> CampaignResult:
        """Waits, freezes, feeds, watches. Cancelling the workflow cancels the campaign."""
        try:
            if run.retry_failed:
                with acting(starter_of_this_run() or WEB_UI), suppress(ApplicationError):
                    await self._act("retry_failed")
            return await self._follow(run.campaign)
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            with acting(WEB_UI):
                await workflow.execute_activity_method(
                    CampaignActivities.cancel_campaign,
                    run.campaign,
                    start_to_close_timeout=QUICK,
                    retry_policy=RETRY,
                    summary="the workflow was cancelled",
                )
            self.changed()
            await self._follow(run.campaign)
            raise

    async def _follow(self, campaign: str) -> CampaignResult:
        while True:
            self._changed = False
            state = await workflow.execute_activity_method(
                CampaignActivities.campaign_state,
                campaign,
                start_to_close_timeout=QUICK,
                retry_policy=RETRY,
                summary="where it stands",
            )
            self._state = state
            self._display.state(state)
            if state.over:
                await self._rest()
                result = await self._over(state)
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._changed:
                    continue  # it may have been reopened while we read how it ended
                return result
            if state.frozen:
                await self._send(state)
            elif state.status != "scheduled":
                await wait(workflow.now() + RECHECK, lambda: self._changed, f"the campaign is {state.status}")
            elif state.start_at > state.now:
                # Compare with the row's clock, not with workflow time: the two may differ a little.
                await wait(
                    workflow.now() + (state.start_at - state.now),
                    lambda: self._changed,
                    f"starts {state.when}",
                )
            else:
                await self._freeze(state)
            if self._is_long():
                await self._rest()
                await workflow.wait_condition(workflow.all_handlers_finished)
                feed = self._feeding.state if self._feeding is not None else None
                workflow.continue_as_new(CampaignRun(campaign=campaign, feed=feed))

    async def _freeze(self, state: CampaignState) -> None:
        await workflow.execute_activity_method(
            CampaignActivities.freeze_audience,
            state.campaign_id,
            start_to_close_timeout=FREEZE,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
            summary="freeze the audience",
        )

    async def _send(self, state: CampaignState) -> None:
        """Feeds the audience, itself or by its shards' workflows, and watches until every message is settled."""
        if state.status == "cancelled":
            await workflow.execute_activity_method(
                CampaignActivities.close_campaign,
                state,
                start_to_close_timeout=FREEZE,
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RETRY,
                summary="close what was not sent",
            )
        if state.shards == 1:
            self._feed_itself(state)
        else:
            for shard in range(state.shards):
                await self._start_shard(state, shard)
        await self._watch(state)

    async def _watch(self, state: CampaignState) -> None:
        """Watches until every message is settled, something has changed, or the history has grown long."""
        pause, still = FIRST_PAUSE, 0
        while not self._changed and still < STALLED and not self._is_long():
            begun = self._feeding is None or self._feeding.exhausted
            progress = await workflow.execute_activity_method(
                CampaignActivities.watch_campaign,
                args=[state.campaign_id, begun],
                start_to_close_timeout=QUICK,
                retry_policy=RETRY,
                summary="how far it is",
            )
            moved = self._progress is None or progress.counts != self._progress.counts
            first = FIRST_PAUSE if begun else WHILE_FEEDING
            pause, still = (first, 0) if moved else (min(2 * pause, LONGEST_PAUSE), still + 1)
            self._progress = progress
            self._display.progress(state, progress)
            if progress.unsettled == 0:
                await workflow.execute_activity_method(
                    CampaignActivities.finish_campaign,
                    state.campaign_id,
                    start_to_close_timeout=QUICK,
                    retry_policy=RETRY,
                    summary="finish",
                )
                return
            held = progress.status == "paused"
            summary = f"{progress.status}: {progress.unsettled:,} to go"
            until = workflow.now() + (RECHECK if held else pause)
            if progress.over_at is not None:
                # Expired messages are settled at that time, even while the campaign is paused.
                until = min(until, max(progress.over_at, workflow.now() + FIRST_PAUSE))
            await wait(until, lambda: self._changed or self._feeding_has_ended(), summary)
            self._note_end_of_feeding()

    def _feed_itself(self, state: CampaignState) -> None:
        """Starts feeding the only shard in a concurrent task, unless that runs already or this run is to end."""
        self._note_end_of_feeding()  # the campaign may have been reopened when it had just finished
        if self._fed is None and not self._fed_enough:
            self._feeding = self._feeding or Feeding(FeedState(request=_request(state, 0)))
            self._fed = asyncio.create_task(self._feeding.run())

    def _feeding_has_ended(self) -> bool:
        return self._fed is not None and self._fed.done()

    def _note_end_of_feeding(self) -> None:
        if self._fed is None or not self._fed.done():
            return
        if self._fed.result():
            self._feeding = None
        else:
            self._fed_enough = True
        self._fed = None

    def _is_long(self) -> bool:
        """True if it should continue as new: this run has begun as many leads as it may, or its history has grown
        long.
        """
        return self._fed_enough or workflow.info().is_continue_as_new_suggested()

    async def _rest(self) -> None:
        """Stops the feeding, and waits for its end."""
        if self._fed is not None and self._feeding is not None:
            self._feeding.stop()
            await workflow.wait_condition(self._feeding_has_ended)
            self._note_end_of_feeding()

    async def _start_shard(self, state: CampaignState, shard: int) -> None:
        identity = campaign_identity(state.campaign, state.title)
        with suppress(WorkflowAlreadyStartedError):  # it runs already
            await workflow.start_child_workflow(
                CampaignShardWorkflow.run,
                FeedState(request=_request(state, shard)),
                id=campaign_shard_workflow_id(state.campaign, shard),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                # A continue-as-new of this workflow must not end it; the ledger says how far it is.
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=identity.search_attributes,
                static_summary=f"feeds {state.campaign}, {shard + 1} of {state.shards}",
            )

    async def _over(self, state: CampaignState) -> CampaignResult:
        progress = await workflow.execute_activity_method(
            CampaignActivities.watch_campaign,
            args=[state.campaign_id, False],
            start_to_close_timeout=QUICK,
            retry_policy=RETRY,
            summary="how it ended",
        )
        self._display.progress(state, progress)
        return CampaignResult(
            status=state.status,
            counts=progress.counts,
            opted_out=progress.opted_out,
            without_device=progress.without_device,
            passed=progress.passed,
            without_consent=progress.without_consent,
            reason=state.reason,
        )

    @workflow.signal(description="Sent by Drumbeat: the campaign's row has changed, so read it again.")
    def changed(self) -> None:
        """The campaign's row has changed: a new time, a pause, resume or cancellation, or messages to send again."""
        self._changed = True
        if self._feeding is not None:
            self._feeding.changed()

    @workflow.query(description="Its messages by status, at the last count.")
    def progress(self) -> CampaignProgress | None:
        """The progress at the last check."""
        return self._progress


def _request(state: CampaignState, shard: int) -> FeedRequest:
    return FeedRequest(
        campaign_id=state.campaign_id, campaign=state.campaign, shard=shard, shards=state.shards
    )
