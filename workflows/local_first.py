"""Short database activities: run as a local activity first, and as a normal activity if that fails."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from workflows.options import QUICK, RETRY

__all__ = ["cause_of", "local_first"]

Activities = TypeVar("Activities")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

ONCE = RetryPolicy(maximum_attempts=1)

AT_HAND = timedelta(seconds=5)
"""Schedule to close. A worker that is busy with gateways that hang is not waited for: a normal activity can run on
another worker.
"""


async def local_first(
    method: Callable[[Activities, Asked], Awaitable[Answer]], argument: Asked, *, summary: str
) -> Answer:
    """Runs the activity ``method`` with ``argument``, and returns its answer.

    The activity must be safe to repeat, and safe to leave out: a workflow task that is lost after the answer runs
    again, and may see a new signal first and take another path.

    A local activity costs one event and no Temporal transaction; a normal one costs six events and two transactions.
    But the Web UI does not show how often a local activity failed or why, so it gets one attempt. If the database is
    away, the normal activity shows in the Web UI as pending, with its last error, and Temporal retries it for as long
    as it takes.

    Raises FailureError if the activity refuses (a non-retryable ApplicationError), or if the workflow is cancelled.
    """
    try:
        return await workflow.execute_local_activity_method(
            method,
            argument,
            schedule_to_close_timeout=AT_HAND,
            retry_policy=ONCE,
            summary=summary,
        )
    except FailureError as error:
        cause = cause_of(error)
        refused = isinstance(cause, ApplicationError) and cause.non_retryable
        # A local activity is also cancelled when it times out or its worker shuts down. Nobody asked for that.
        if refused or workflow.cancellation_reason() is not None:
            raise
    return await workflow.execute_activity_method(
        method, argument, start_to_close_timeout=QUICK, retry_policy=RETRY, summary=summary
    )


def cause_of(error: FailureError) -> BaseException | None:
    """What an activity raised. A local activity's error is raised as it is; a normal one's is wrapped."""
    return error.cause if isinstance(error, ActivityError) else error
