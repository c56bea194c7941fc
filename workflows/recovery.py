"""The sweep for abandoned messages. Started by a Temporal Schedule."""

from datetime import timedelta

from temporalio import workflow

from workflows.options import RETRY

with workflow.unsafe.imports_passed_through():
    from activities.recovery import RecoveryActivities

__all__ = ["RecoveryWorkflow"]

RECOVERY_TIMEOUT = timedelta(seconds=50)


@workflow.defn
class RecoveryWorkflow:
    """Finds abandoned messages and starts a workflow for each, in one activity."""

    @workflow.run
    async def run(self) -> int:
        """Returns how many messages were found."""
        return await workflow.execute_activity_method(
            RecoveryActivities.recover_messages,
            start_to_close_timeout=RECOVERY_TIMEOUT,
            retry_policy=RETRY,
            summary="abandoned messages, and signals that were lost",
        )
