"""Short questions to the database: asked in the workflow's own task, and by an activity of the server's where that fails."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from workflows.options import QUICK, RETRY

__all__ = ["local_first"]

Activities = TypeVar("Activities")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

ONCE = RetryPolicy(maximum_attempts=1)

AT_HAND = timedelta(seconds=5)
"""Schedule to close. A worker that is taken up by gateways which hang is not waited for: the server knows others."""


async def local_first(
    method: Callable[[Activities, Asked], Awaitable[Answer]], argument: Asked, *, local: bool, summary: str
) -> Answer:
    """What the activity ``method`` answers to ``argument``.

    It must be safe to repeat, and also not to repeat: a task that is lost after the question was answered is done again,
    and may have heard of something else first.

    A local activity costs one event and no transaction of Temporal's, where one of the server's costs six and two. But
    nobody sees how often it failed and why, so it gets a single attempt: a database that is away shows in the Web UI
    as a pending activity, with its last error, and the server repeats it for as long as it takes.

    ``local`` is False for workflows that were started before there was this. Raises FailureError where the activity
    refuses (a non-retryable ApplicationError), and where the workflow is cancelled.
    """
    if local:
        try:
            return await workflow.execute_local_activity_method(
                method,
                argument,
                schedule_to_close_timeout=AT_HAND,
                retry_policy=ONCE,
                summary=summary,
            )
        except FailureError as error:
            # A local activity's own error comes as it is, others inside an ActivityError.
            cause = error.cause if isinstance(error, ActivityError) else error
            refused = isinstance(cause, ApplicationError) and cause.non_retryable
            # A local activity is also cancelled when its time is up or its worker ends: that is no wish of anybody's.
            if refused or workflow.cancellation_reason() is not None:
                raise
    return await workflow.execute_activity_method(
        method, argument, start_to_close_timeout=QUICK, retry_policy=RETRY, summary=summary
    )
