"""Questions that are not answered in the task: who is asked instead, and when nobody is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.support.live import Live
from workflows import local_first as module
from workflows.local_first import local_first

QUEUE = "local-first"


class Answers:
    """Does not answer in the task until told to; the server gets its answer at once."""

    def __init__(self, *, obeys: bool) -> None:
        """``obeys``: whether it ends when it is cancelled."""
        self.hanging = asyncio.Event()
        self.let_go = asyncio.Event()
        self._obeys = obeys

    @activity.defn
    async def where(self, name: str) -> str:  # noqa: ARG002 - the question is not what matters
        if not activity.info().is_local:
            return "by the server"
        self.hanging.set()
        while not self.let_go.is_set():
            with suppress(*() if self._obeys else (asyncio.CancelledError,)):
                await self.let_go.wait()
        return "in the task"


@workflow.defn
class Asking:
    """One question."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The answer."""
        return await local_first(Answers.where, name, summary="")


@asynccontextmanager
async def working(live: Live, answers: Answers) -> AsyncIterator[None]:
    async with Worker(
        live.connection.temporal,
        task_queue=QUEUE,
        workflows=[Asking],
        activities=[answers.where],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_local_activities=1,
    ):
        try:
            async with asyncio.timeout(20):
                yield
        finally:
            answers.let_go.set()


async def test_a_worker_that_is_taken_up_is_not_waited_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_HAND", timedelta(seconds=0.5))
    client, answers = live.connection.temporal, Answers(obeys=False)
    async with working(live, answers):
        first = await client.start_workflow(Asking.run, "hangs", id="hangs", task_queue=QUEUE)
        await answers.hanging.wait()
        second = await client.execute_workflow(Asking.run, "waits", id="waits", task_queue=QUEUE)
        assert second == "by the server"
        answers.let_go.set()
        await first.result()


async def test_one_that_is_cancelled_as_its_time_is_up_is_repeated(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_HAND", timedelta(seconds=0.5))
    async with working(live, Answers(obeys=True)):
        answer = await live.connection.temporal.execute_workflow(
            Asking.run, "hangs", id="late", task_queue=QUEUE
        )
    assert answer == "by the server"


async def test_a_workflow_that_is_cancelled_meanwhile_ends_as_that(live: Live) -> None:
    answers = Answers(obeys=True)
    async with working(live, answers):
        handle = await live.connection.temporal.start_workflow(
            Asking.run, "hangs", id="unwanted", task_queue=QUEUE
        )
        await answers.hanging.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    assert isinstance(failure.value.cause, CancelledError)
