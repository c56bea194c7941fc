"""The feeder of a campaign: has one workflow started per lead, and never more of a device's than its window holds."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from workflows.control import wait
from workflows.message import MessageWorkflow
from workflows.options import DEAD_AFTER, QUICK, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from messaging.campaigns.contract import Fed, FeedRequest
    from messaging.common.values import Value
    from messaging.sending.outcomes import MessageRef
    from temporal.campaigns import lead_identity

__all__ = ["CampaignShardWorkflow", "Feeding"]

FEED = timedelta(minutes=2)
"""Start to close: ten seconds of starting, however slow the servers are just then."""

CHILDREN_A_RUN = 200
"""Of a run that starts children itself. The server holds at most 2,000 that are open."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
"""Between two looks for room; while there is some, the feeder looks again at once."""

IDLE = timedelta(minutes=10)
"""A paused campaign tells its feeders when to go on; should that be lost, they look again after this."""

DOUBT_AFTER = timedelta(minutes=10)
LONGEST_DOUBT = timedelta(hours=6)
"""When nothing has moved for so long, the feeder goes through the open messages anew: a lead's workflow that somebody
terminated is started again, and for all others that changes nothing."""


class Feeding(Value):
    """The input of CampaignShardWorkflow: where it is, and what it knows from the runs before."""

    request: FeedRequest
    doubt_after: timedelta = DOUBT_AFTER
    eager: bool = False
    """Whether an activity starts the leads' workflows; runs that began before there was one start them as children."""


@workflow.defn
class CampaignShardWorkflow:
    """Feeds one share of a campaign's audience until every message of it is settled."""

    @workflow.init
    def __init__(self, feeding: Feeding) -> None:
        self._request = feeding.request
        self._doubt_after = feeding.doubt_after
        self._eager = feeding.eager
        self._changed = False
        self._pause = FIRST_PAUSE
        self._moved_at = workflow.now()
        self._children = 0

    @workflow.run
    async def run(self, feeding: Feeding) -> None:  # noqa: ARG002 - taken by __init__
        """Again and again: begin what there is room for, or wait for room."""
        while True:
            if self._changed:
                self._changed = False
                self._begin_anew()
            fed = await (self._feed() if self._eager else self._feed_children())
            if fed.settled and not self._changed:
                return
            self._go_to(fed.positions)
            if fed.begun:
                self._pause = FIRST_PAUSE
                self._moved_at = workflow.now()
            else:
                await self._wait(fed)
            if self._children >= CHILDREN_A_RUN or workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._changed:
                    self._begin_anew()
                workflow.continue_as_new(
                    Feeding(request=self._request, doubt_after=self._doubt_after, eager=True)
                )

    async def _feed(self) -> Fed:
        # By an activity, since a workflow starts nothing but children, and each of those would take three events of this
        # one's history, and its lock: see docs/performance.md.
        return await workflow.execute_activity_method(
            CampaignActivities.feed,
            self._request,
            start_to_close_timeout=FEED,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
            summary="begin who is next",
        )

    async def _feed_children(self) -> Fed:
        page = await workflow.execute_activity_method(
            CampaignActivities.feed_page,
            self._request,
            start_to_close_timeout=QUICK,
            retry_policy=RETRY,
            summary="who is next",
        )
        await asyncio.gather(*(self._start_child(lead) for lead in page.leads))
        self._children += len(page.leads)
        return Fed(begun=len(page.leads), **page.model_dump(exclude={"leads"}))

    async def _start_child(self, lead: MessageRef) -> None:
        identity = lead_identity(lead)
        with suppress(WorkflowAlreadyStartedError):  # it is on its way
            await workflow.start_child_workflow(
                MessageWorkflow.run,
                lead,
                id=identity.workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                # It goes on by itself when this run ends.
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=identity.search_attributes,
                static_summary=identity.summary,
            )

    async def _wait(self, fed: Fed) -> None:
        """Nothing to begin now: the windows are full, everything was begun, or the campaign is on hold."""
        now = workflow.now()
        if fed.status == "paused":
            await wait(now + IDLE, lambda: self._changed, "the campaign is paused")
            self._moved_at = workflow.now()
            return
        if now - self._moved_at > self._doubt_after:
            self._doubt_after = min(2 * self._doubt_after, LONGEST_DOUBT)
            self._moved_at = now
            self._begin_anew()
            return
        until = now + self._pause
        if fed.exhausted or fed.next_due_at is None:
            why = "all are on their way" if fed.exhausted else "until a device has room"
        else:
            until = max(until, fed.next_due_at)
            why = f"the next is due at {fed.next_due_at:%Y-%m-%d %H:%M} UTC"
            self._moved_at = until
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        await wait(until, lambda: self._changed, why)

    def _begin_anew(self) -> None:
        self._go_to({})

    def _go_to(self, positions: dict[str, int]) -> None:
        self._request = self._request.model_copy(update={"positions": positions})

    @workflow.signal
    def changed(self) -> None:
        """The campaign was resumed or cancelled, or has messages to send again: look from the beginning."""
        self._changed = True
