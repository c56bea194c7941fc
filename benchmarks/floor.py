"""The engine's floor: a bare parent that starts one child for each lead, with one activity that does nothing.

``python -m benchmarks.floor HOME`` is its worker, with the settings of Drumbeat's own.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.workflow import ParentClosePolicy

from runtime.embedded.state import read_running
from runtime.temporal import connect
from worker import CONCURRENCY

__all__ = ["QUEUE", "FloorChild", "FloorParent", "empty"]

QUEUE = "floor"
A_RUN = 200
"""Children of one run of the parent, as in a campaign's feeder."""
AT_ONCE = 50


@activity.defn
async def empty(index: int) -> int:
    """Does nothing."""
    return index


@workflow.defn
class FloorChild:
    """One lead."""

    @workflow.run
    async def run(self, index: int) -> int:
        """The activity that does nothing."""
        return await workflow.execute_activity(empty, index, start_to_close_timeout=timedelta(seconds=20))


@workflow.defn
class FloorParent:
    """All of them: fifty starts at a time, so that the parent is not what is waited for."""

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


async def work(home: Path) -> None:
    """Works until it is ended."""
    running = read_running(home)
    assert running is not None, "the servers run"
    client: Client = await connect(running.temporal_address, "default", embedded=True)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[FloorParent, FloorChild],
        activities=[empty],
        workflow_runner=UnsandboxedWorkflowRunner(),
        **CONCURRENCY,
    ):
        sys.stdout.write("working on task queue floor\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
