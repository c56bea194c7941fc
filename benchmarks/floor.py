"""Measures what Temporal itself costs: bare workflows that do nothing, one for each lead or contact.

- ``FloorParent`` starts them as its children, each with one activity that does nothing: the simplest design.
- ``FloorFeeder`` has them started eagerly by an activity, each with one local activity that does nothing: how Drumbeat
  does it, without ledger, gateway, pace, and search attributes.
- ``FloorContact`` is started by a service, or by such an activity, sleeps until its moment, and ends.

``python -m benchmarks.floor HOME QUEUE`` is their worker, with the settings of Drumbeat's own.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.workflow import ParentClosePolicy

from runtime.embedded.state import read_running
from runtime.temporal_client import connect
from temporal.bulk import each
from worker import CONCURRENCY

__all__ = ["QUEUE", "FloorChild", "FloorContact", "FloorFeeder", "FloorLead", "FloorParent"]

QUEUE = "floor"
A_RUN = 200
"""Children of one run of the parent."""
AT_ONCE = 50
"""Children that the parent starts in one workflow task."""
LEAD_TIMEOUT = timedelta(seconds=20)
FEED_TIMEOUT = timedelta(minutes=30)


@activity.defn
async def empty(index: int) -> int:
    """Does nothing."""
    return index


@workflow.defn
class FloorChild:
    """One lead, as a child."""

    @workflow.run
    async def run(self, index: int) -> int:
        """The activity that does nothing."""
        return await workflow.execute_activity(empty, index, start_to_close_timeout=LEAD_TIMEOUT)


@workflow.defn
class FloorParent:
    """All of them."""

    @workflow.run
    async def run(self, name: str, first: int, last: int) -> None:
        """Starts the children from ``first`` to before ``last``; they go on without it."""
        end = min(first + A_RUN, last)
        for begin in range(first, end, AT_ONCE):
            await asyncio.gather(
                *(
                    workflow.start_child_workflow(
                        FloorChild.run,
                        index,
                        id=f"{name}:{index}",
                        parent_close_policy=ParentClosePolicy.ABANDON,
                    )
                    for index in range(begin, min(begin + AT_ONCE, end))
                )
            )
        if end < last:
            workflow.continue_as_new(args=[name, end, last])


@workflow.defn
class FloorLead:
    """One lead, started eagerly."""

    @workflow.run
    async def run(self, index: int) -> int:
        """Runs the activity that does nothing, as a local activity."""
        return await workflow.execute_local_activity(empty, index, start_to_close_timeout=LEAD_TIMEOUT)


@activity.defn
async def feed(name: str, first: int, last: int, due: datetime | None) -> None:
    """Starts the workflows from ``first`` to before ``last``, as many at a time as Drumbeat does. With ``due``:
    contacts.
    """
    client, queue = activity.client(), activity.info().task_queue

    async def start(index: int) -> None:
        workflow_type, of = ("FloorContact", due) if due else ("FloorLead", index)
        with suppress(WorkflowAlreadyStartedError):
            await client.start_workflow(
                workflow_type, of, id=f"{name}:{index}", task_queue=queue, request_eager_start=True
            )

    await each(range(first, last), start)


@workflow.defn
class FloorFeeder:
    """All of them."""

    @workflow.run
    async def run(self, name: str, first: int, last: int, due: datetime | None = None) -> None:
        """Lets the activity start the workflows from ``first`` to before ``last``. With ``due``: contacts that sleep
        until then.
        """
        await workflow.execute_activity(
            feed, args=[name, first, last, due], start_to_close_timeout=FEED_TIMEOUT
        )


@activity.defn
async def lateness(due: datetime) -> float:
    """Only reads the clock."""
    return (datetime.now(UTC) - due).total_seconds()


@workflow.defn
class FloorContact:
    """One contact that sleeps until its step is due, like a contact of a sequence."""

    @workflow.run
    async def run(self, due: datetime) -> float:
        """Sleeps; then an activity answers how many seconds after the moment it runs."""
        await workflow.sleep(max(timedelta(0), due - workflow.now()))
        return await workflow.execute_activity(lateness, due, start_to_close_timeout=LEAD_TIMEOUT)

    @workflow.query
    def asleep(self) -> bool:
        """True once the first task ran; callers query it to wait for that."""
        return True


async def work(home: Path, queue: str) -> None:
    """Works until it is stopped."""
    running = read_running(home)
    assert running is not None, "the servers run"
    client: Client = await connect(running.temporal_address, running.namespace, embedded=True)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[FloorParent, FloorChild, FloorFeeder, FloorLead, FloorContact],
        activities=[empty, feed, lateness],
        workflow_runner=UnsandboxedWorkflowRunner(),
        **CONCURRENCY,
    ):
        sys.stdout.write(f"working on task queue {queue}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(work(Path(sys.argv[1]), sys.argv[2]))
