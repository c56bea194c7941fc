"""Runs many calls to Temporal, a few at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import ResourceExhaustedFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from temporal.ids import possible_ids

__all__ = ["CONCURRENCY", "each", "signal_each"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

CONCURRENCY = 16
"""Calls that one caller has in flight at a time."""


async def each(
    items: Iterable[Item], call: Callable[[Item], Awaitable[Answer]], *, concurrency: int = CONCURRENCY
) -> list[Answer]:
    """The results of ``call`` for each item, in order; at most ``concurrency`` calls are in flight at a time.

    After an error no more calls begin; those in flight are waited for, and the error is raised. (Dropping a start in
    flight would also drop the workflow's first task, which comes with its answer.)
    """
    remaining = enumerate(items)
    answers: dict[int, Answer] = {}
    errors: list[Exception] = []

    async def work() -> None:
        while not errors and (item := next(remaining, None)) is not None:
            try:
                answers[item[0]] = await call(item[1])
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    if errors:
        raise errors[0]
    return [answers[index] for index in sorted(answers)]


async def signal_each(client: Client, workflow_ids: Iterable[str], signal: str) -> list[bool]:
    """Signals each workflow; answers for each whether it runs.

    One that has ended is no error, and neither is one that can take no more signals, as the others must still get
    theirs. Raises RPCError.
    """
    refused: list[tuple[str, RPCError]] = []

    async def tell(workflow_id: str) -> bool:
        for possible in possible_ids(workflow_id):
            try:
                await client.get_workflow_handle(possible).signal(signal)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    continue
                if not _takes_no_more(error):
                    raise
                refused.append((possible, error))
            return True
        return False

    answers = await each(workflow_ids, tell)
    if refused:
        workflow_id, error = refused[0]
        logger.warning(
            "workflow %s%s got no signal %r: %s",
            workflow_id,
            f" and {len(refused) - 1:,} more" if refused[1:] else "",
            signal,
            error.message,
        )
    return answers


def _takes_no_more(error: RPCError) -> bool:
    """True if this workflow alone takes no signal: it has had as many as a workflow may have, or it is too busy."""
    if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
        return error.status is RPCStatusCode.INVALID_ARGUMENT
    failure = ResourceExhaustedFailure()
    return any(
        detail.Unpack(failure)
        and failure.cause == ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
        for detail in error.grpc_status.details
    )
