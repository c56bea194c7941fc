"""Feeding a shard: its leads' workflows are begun, and never more of a device's than its window holds.

A shard is a part of a campaign's audience. The campaign's workflow feeds the only shard itself; where there are several,
each has a workflow of its own. Who feeds is the parent of the leads' workflows, unless the campaign says ``fan_out: eager``.
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

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from messaging.campaigns.contract import FeedPage, FeedRequest
    from messaging.common.values import Value
    from messaging.sending.outcomes import MessageRef
    from temporal.campaigns import lead_identity

__all__ = ["FeedState", "Feeding"]

FEED = timedelta(minutes=2)
"""Start to close: ten seconds of starting, however slow the servers are just then."""

CHILDREN_A_RUN = 1_000
"""Started by one run. A run holds those that it has not heard the end of, of which the server allows 2,000; each takes
three events of its history, which is to stay below some thousands."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
"""Between two looks for room; while there is some, it is looked for again at once."""

IDLE = timedelta(minutes=10)
"""Whoever resumes a campaign says so; should that be lost, it is looked for after this."""

DOUBT_AFTER = timedelta(minutes=10)
LONGEST_DOUBT = timedelta(hours=6)
"""When nothing has moved for so long, the open messages are gone through anew: a lead's workflow that somebody
terminated is started again, and for all others that changes nothing."""


class FeedState(Value):
    """Where the feeding of a shard is, from one run of its workflow to the next."""

    request: FeedRequest
    doubt_after: timedelta = DOUBT_AFTER


class Feeding:
    """Feeds one shard until every message of it is settled. The workflow that owns it runs it once."""

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
        """Whether all were begun, when it last looked."""

    @property
    def state(self) -> FeedState:
        """What the next run needs to go on from here."""
        positions = {} if self._changed else self._request.positions
        return FeedState(
            request=self._request.model_copy(update={"positions": positions}), doubt_after=self._doubt_after
        )

    def changed(self) -> None:
        """The campaign was resumed or cancelled, or has messages to send again: look from the beginning."""
        self._changed = True

    def stop(self) -> None:
        """End soon, wherever it is: the workflow is to continue as new."""
        self._stopped = True

    async def run(self) -> bool:
        """Again and again: begin what there is room for, or wait for room.

        True once every message is settled; False where the workflow is to continue as new, with ``state``. What was
        begun by then has started.
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
            summary="who is next",
        )

    def _begin(self, messages: Sequence[MessageRef]) -> None:
        """Starts them, all of a page in one task of this workflow; meanwhile the next page is asked for."""
        if messages:
            self._children += len(messages)
            self._starting = asyncio.create_task(_start_all(messages))

    async def _started(self) -> None:
        # A start holds the lock of this workflow twice. Of more than a page at a time, many would find it taken, give up
        # and be repeated, which costs the server more than the starts.
        starting, self._starting = self._starting, None
        if starting is not None:
            await asyncio.shield(starting)  # to cancel it would cancel the leads

    async def _wait(self, page: FeedPage) -> None:
        """Nothing to begin now: the windows are full, everything was begun, or the campaign is on hold."""
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
            why = f"the next is due at {page.next_due_at:%Y-%m-%d %H:%M} UTC"
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
    identity = lead_identity(message)
    with suppress(WorkflowAlreadyStartedError):  # it is on its way
        await workflow.start_child_workflow(
            MessageWorkflow.run,
            message,
            id=identity.workflow_id,
            # The ledger knows what was sent: a lead whose message failed is started again by retry-failed.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            # It goes on by itself when this run ends, and nobody waits for its result: that is in the ledger.
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
        )
