"""Feeds a shard: starts its leads' workflows, never more for one device than its window allows.

A shard is a part of a campaign's audience. The campaign's workflow feeds the only shard itself; if there are several,
each has a workflow of its own. The feeding workflow is the parent of the leads' workflows, unless the campaign says
``fan_out: eager``.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from workflows.control import wait
from workflows.message import MessageWorkflow
from workflows.options import DEAD_AFTER, RETRY
from workflows.private_ids import private_ids

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from messaging.campaigns.contract import FeedPage, FeedRequest
    from messaging.common.values import Value
    from messaging.sending.outcomes import MessageRef
    from messaging.times.local_time import format_moment
    from temporal.campaigns import lead_identity

__all__ = ["FeedState", "Feeding"]

FEED = timedelta(minutes=2)
"""Start to close. The activity starts workflows for ten seconds; the rest is for slow servers."""

CHILDREN_A_RUN = 1_000
"""How many workflows one run starts. A run has as pending children those whose end it has not seen, of which the server
allows 2,000; and each child adds three events to its history, which should stay below some thousands.
"""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
"""The longest time between two checks for room in a window; after a page that began messages, it checks again at
once.
"""

IDLE = timedelta(minutes=10)
"""A resume sends a signal. If the signal is lost, the feeding looks again after this time."""

DOUBT_AFTER = timedelta(minutes=10)
LONGEST_DOUBT = timedelta(hours=6)
"""If nothing has moved for this long, it starts again at the first open message: a lead's workflow that somebody
terminated is started again; for all others this changes nothing.
"""


class FeedState(Value):
    """The state of feeding a shard, which one run of its workflow passes to the next."""

    request: FeedRequest
    doubt_after: timedelta = DOUBT_AFTER


class Feeding:
    """Feeds one shard until every message of it is settled. A workflow runs it once."""

    def __init__(self, state: FeedState) -> None:
        self._request = state.request
        self._doubt_after = state.doubt_after
        self._changed = False
        self._stopped = False
        self._pause = FIRST_PAUSE
        self._moved_at = workflow.now()
        self._children = 0
        self._starting: asyncio.Task[None] | None = None
        self.exhausted = False
        """True if all messages were begun at the last check."""

    @property
    def state(self) -> FeedState:
        """The state from which the next run goes on."""
        positions = {} if self._changed else self._request.positions
        return FeedState(
            request=self._request.model_copy(update={"positions": positions}), doubt_after=self._doubt_after
        )

    def changed(self) -> None:
        """The campaign was resumed or cancelled, or has messages to send again: start again at the first message."""
        self._changed = True

    def stop(self) -> None:
        """Makes ``run`` end soon, as the workflow is to continue as new."""
        self._stopped = True

    async def run(self) -> bool:
        """Begins messages while there is room for them, and waits for room otherwise.

        Returns True once every message is settled, and False if the workflow is to continue as new, with ``state``. All
        workflows that it began have started by then.
        """
        while True:
            if self._changed:
                self._changed = False
                self._begin_anew()
            page = await self._feed()
            await self._started()
            self._begin(page.messages)
            self.exhausted = page.exhausted
            if page.settled and not self._changed:
                return True
            self._go_to(page.positions)
            if page.messages or page.begun:
                self._pause = FIRST_PAUSE
                self._moved_at = workflow.now()
            else:
                await self._wait(page)
            if (
                self._stopped
                or self._children >= CHILDREN_A_RUN
                or workflow.info().is_continue_as_new_suggested()
            ):
                await self._started()
                return False

    async def _feed(self) -> FeedPage:
        return await workflow.execute_activity_method(
            CampaignActivities.feed,
            self._request,
            start_to_close_timeout=FEED,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
            summary="read the next page",
        )

    def _begin(self, messages: Sequence[MessageRef]) -> None:
        """Starts all workflows of a page in one workflow task, while the next page is read."""
        if messages:
            self._children += len(messages)
            self._starting = asyncio.create_task(_start_all(messages))

    async def _started(self) -> None:
        # A start of a child takes the lock of this workflow twice. With more than a page at a time, many starts would
        # time out on the lock and be repeated, which costs the server more than the starts themselves.
        starting, self._starting = self._starting, None
        if starting is not None:
            await asyncio.shield(starting)  # cancelling this task would cancel the leads' workflows

    async def _wait(self, page: FeedPage) -> None:
        """Waits, as there is nothing to begin now: the windows are full, everything was begun, or the campaign is
        paused.
        """
        now = workflow.now()
        if page.status == "paused":
            await self._sleep(now + IDLE, "the campaign is paused")
            self._moved_at = workflow.now()
            return
        if now - self._moved_at > self._doubt_after:
            self._doubt_after = min(2 * self._doubt_after, LONGEST_DOUBT)
            self._moved_at = now
            self._begin_anew()
            return
        until = now + self._pause
        if page.exhausted or page.next_due_at is None:
            why = "all are on their way" if page.exhausted else "until a device has room"
        else:
            until = max(until, page.next_due_at)
            why = f"the next is due at {format_moment(page.next_due_at)}"
            self._moved_at = until
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        await self._sleep(until, why)

    async def _sleep(self, until: datetime, why: str) -> None:
        await wait(until, lambda: self._changed or self._stopped, why)

    def _begin_anew(self) -> None:
        self._go_to({})

    def _go_to(self, positions: dict[str, int]) -> None:
        self._request = self._request.model_copy(update={"positions": positions})


async def _start_all(messages: Sequence[MessageRef]) -> None:
    await asyncio.gather(*(_start(message) for message in messages))


async def _start(message: MessageRef) -> None:
    identity = lead_identity(message, private=private_ids())
    with suppress(WorkflowAlreadyStartedError):  # it runs already
        await workflow.start_child_workflow(
            MessageWorkflow.run,
            message,
            id=identity.workflow_id,
            # The ledger knows what was sent: a lead whose message failed is started again by retry-failed.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            # It goes on when this run ends. Nobody waits for its result, as that is in the ledger.
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
            priority=identity.priority,
        )
