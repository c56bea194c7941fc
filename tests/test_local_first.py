"""A worker whose slots for local activities are taken."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.live import Live
from workflows import local_first as module
from workflows.local_first import local_first

QUEUE = "local-first"


class Answers:
    """Who is asked first does not answer until told to."""

    def __init__(self) -> None:
        self.hanging = asyncio.Event()
        self.let_go = asyncio.Event()

    @activity.defn
    async def where(self, name: str) -> str:  # noqa: ARG002 - the question is not what matters
        if not activity.info().is_local:
            return "by the server"
        self.hanging.set()
        while not self.let_go.is_set():
            with suppress(asyncio.CancelledError):  # as a send does not let go of its message either
                await self.let_go.wait()
        return "in the task"


@workflow.defn
class Asking:
    """One question."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The answer."""
        return await local_first(Answers.where, name, local=True, summary="")


async def test_a_worker_that_is_taken_up_is_not_waited_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_HAND", timedelta(seconds=0.5))
    client, answers = live.connection.temporal, Answers()
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Asking],
        activities=[answers.where],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_local_activities=1,
    ):
        first = await client.start_workflow(Asking.run, "hangs", id="hangs", task_queue=QUEUE)
        await answers.hanging.wait()
        try:
            async with asyncio.timeout(10):  # by far less than the hanging one may take
                second = await client.execute_workflow(Asking.run, "waits", id="waits", task_queue=QUEUE)
        finally:
            answers.let_go.set()
        assert second == "by the server"
        await first.result()
