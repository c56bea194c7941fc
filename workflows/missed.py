"""Fetches messages that a gateway's webhooks could not deliver. Started by a Temporal Schedule."""

from datetime import timedelta

from temporalio import workflow

from workflows.options import DEAD_AFTER, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.missed import MissedActivities

__all__ = ["MissedMessagesWorkflow"]

FETCH_TIMEOUT = timedelta(minutes=20)
"""Start to close: some devices at a time, each for a bounded time."""


@workflow.defn
class MissedMessagesWorkflow:
    """Asks the gateways of all devices for what people have sent, in one activity."""

    @workflow.run
    async def run(self) -> int:
        """Returns how many messages were new."""
        return await workflow.execute_activity_method(
            MissedActivities.fetch_missed,
            start_to_close_timeout=FETCH_TIMEOUT,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
            summary="what people have sent to all devices",
        )
