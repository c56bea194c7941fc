"""Delivers events and alerts to their receivers. Started by a Temporal Schedule if it does not run, and always at work."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from workflows.options import DEAD_AFTER, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.outbox import OutboxActivities

__all__ = ["OutboxWorkflow", "ReceiverTestWorkflow"]

DELIVER = timedelta(minutes=3)
"""Start to close: the activity works for a minute, and finishes what it has begun."""

TEST = timedelta(seconds=60)
"""Schedule to close: longer than the slowest answer may take."""


MINUTES = 200
"""How many activities one run has, before it continues as new."""


@workflow.defn
class OutboxWorkflow:
    """Delivers, minute after minute. What is to be delivered is in the ledger, so a run may end at any moment."""

    @workflow.run
    async def run(self) -> None:
        """Goes on for ever."""
        for _ in range(MINUTES):
            page = await workflow.execute_activity_method(
                OutboxActivities.deliver_outbox,
                start_to_close_timeout=DELIVER,
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RETRY,
                summary="deliver what is due, for a minute",
            )
            workflow.set_current_details(page or "")
        workflow.continue_as_new()


@workflow.defn
class ReceiverTestWorkflow:
    """Has a worker deliver a test to one receiver, for 'alert test'."""

    @workflow.run
    async def run(self, receiver: str) -> tuple[bool, str]:
        """Whether it was taken, and what came back."""
        return await workflow.execute_activity_method(
            OutboxActivities.test_receiver,
            receiver,
            schedule_to_close_timeout=TEST,
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=receiver,
        )
