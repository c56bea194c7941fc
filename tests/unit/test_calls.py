"""Many calls at a time, and what an error does to the others."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import ResourceExhaustedFailure
from temporalio.service import RPCError, RPCStatusCode

from activities.pacing import batches
from temporal.bulk import CONCURRENCY, each, signal_each


async def test_answers_in_order_and_never_more_at_a_time() -> None:
    open_now, most = 0, 0

    async def call(item: int) -> int:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.001 * (item % 3))
        open_now -= 1
        return -item

    assert await each(range(100), call) == [-item for item in range(100)]
    assert most == CONCURRENCY
    assert await each([], call) == []


def test_twenty_at_a_time_are_told() -> None:
    """A fifth of a second's work: with some hundreds, Temporal would wait in vain for the last of them."""
    assert [list(few) for few in batches(range(45))] == [
        [*range(20)],
        [*range(20, 40)],
        [*range(40, 45)],
    ]


async def test_an_error_comes_as_it_is_after_what_was_on_the_wire_and_before_anything_else() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def call(item: int) -> None:
        begun.append(item)
        await asyncio.sleep(0)
        if item == 3:
            raise ConnectionError("refused")
        await asyncio.sleep(0.01)
        ended.append(item)

    with pytest.raises(ConnectionError, match="refused"):
        await each(range(100), call)
    assert begun == list(range(CONCURRENCY))
    assert ended == [item for item in range(CONCURRENCY) if item != 3]


def exhausted(cause: ResourceExhaustedCause.ValueType) -> RPCError:
    status = GrpcStatus(code=8)
    status.details.add().Pack(ResourceExhaustedFailure(cause=cause))
    return RPCError("too much", RPCStatusCode.RESOURCE_EXHAUSTED, status.SerializeToString())


BUSY = exhausted(ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW)
OVERLOADED = exhausted(ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED)
FULL = RPCError("exceeded workflow execution limit for signal events", RPCStatusCode.INVALID_ARGUMENT, b"")
GONE = RPCError("not found", RPCStatusCode.NOT_FOUND, b"")


def temporal(answers: dict[str, RPCError], told: list[str]) -> Any:
    """A client to whose signals the server answers with these errors."""

    def handle(workflow_id: str) -> Any:
        async def signal(_: str) -> None:
            if workflow_id in answers:
                raise answers[workflow_id]
            told.append(workflow_id)

        return SimpleNamespace(signal=signal)

    return SimpleNamespace(get_workflow_handle=handle)


async def test_a_workflow_that_takes_no_more_signals_is_passed_over_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []
    workflows = [str(index) for index in range(100)]
    client = temporal({"1": FULL, "2": BUSY, "3": GONE}, told)
    assert await signal_each(client, workflows, "wake") == [index != 3 for index in range(100)]
    assert told == [workflow for workflow in workflows if workflow not in ("1", "2", "3")]
    (line,) = caplog.messages
    assert line == f"workflow 1 and 1 more got no signal 'wake': {FULL.message}"


@pytest.mark.parametrize("error", [OVERLOADED, RPCError("away", RPCStatusCode.UNAVAILABLE, b"")])
async def test_a_server_that_takes_no_signals_is_an_error(error: RPCError) -> None:
    with pytest.raises(RPCError, match=error.message):
        await signal_each(temporal({"1": error}, []), ["0", "1"], "wake")
