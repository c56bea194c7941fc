"""Reads a workflow's current details from the ledger at the moment at which somebody looks at its page.

The Web UI asks for them by a query, each time a page's *User Metadata* is opened or refreshed. A query leaves nothing in a
history, so its answer may come from outside of the workflow: no event, no timer and no signal keeps it up to date, and a
receipt shows at once, also of a workflow that sleeps or has ended. What the workflow itself says is shown if the ledger does
not answer in time, or knows nothing of it.

This is done around the workflow's run, in the thread that is there for it; workflow code knows nothing of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from workflows.wrapping import WrappedInstance, WrappedRunner

__all__ = ["LookUp", "ShowingRunner"]

logger = logging.getLogger("drumbeat")

METADATA = "__temporal_workflow_metadata"
"""The query by which the Web UI asks."""

PATIENCE = 1.2
"""Seconds to wait for the ledger: less than the two after which Temporal's SDK takes the thread for stuck."""

LookUp = Callable[[str], Awaitable[str | None]]
"""The details of the workflow with this ID, in Markdown; None if the ledger knows nothing of it."""


class ShowingRunner(WrappedRunner):
    """Wraps another workflow runner, and puts details from the ledger in the place of a workflow's own."""

    def __init__(self, runner: WorkflowRunner, look_up: LookUp) -> None:
        """To be called where ``look_up`` is to run: in the worker's event loop."""
        super().__init__(runner)
        self._look_up = look_up
        self._loop = asyncio.get_running_loop()

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Creates one run of a workflow, whose details come from the ledger."""
        return _Shown(super().create_instance(det), self.details_of)

    def details_of(self, workflow_id: str) -> str | None:
        """The details; None also if the ledger does not answer in time. Called in a workflow's thread."""
        looking = asyncio.run_coroutine_threadsafe(_coroutine(self._look_up, workflow_id), self._loop)
        try:
            return looking.result(PATIENCE)
        except Exception as error:  # noqa: BLE001 - the page shows what the workflow itself says
            looking.cancel()
            reason = str(error) or type(error).__name__
            logger.warning("the details of %s could not be read from the ledger: %s", workflow_id, reason)
            return None


class _Shown(WrappedInstance):
    def __init__(self, instance: WorkflowInstance, details_of: Callable[[str], str | None]) -> None:
        super().__init__(instance)
        self._details_of = details_of

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Lets the workflow answer, and then completes its answer to the Web UI's query."""
        asked = {
            job.query_workflow.query_id
            for job in act.jobs
            if job.HasField("query_workflow") and job.query_workflow.query_type == METADATA
        }
        completion = super().activate(act)
        if asked:
            self._complete(completion, asked)
        return completion

    def _complete(self, completion: WorkflowActivationCompletion, asked: set[str]) -> None:
        for command in completion.successful.commands:
            answer = command.respond_to_query
            if answer.query_id not in asked or not answer.HasField("succeeded"):
                continue
            details = self._details_of(self.get_info().workflow_id)
            if details is None:
                continue
            payload = answer.succeeded.response
            shown = _CONVERTER.from_payload(payload, WorkflowMetadata)
            shown.current_details = details
            payload.CopyFrom(_CONVERTER.to_payload(shown))


async def _coroutine(look_up: LookUp, workflow_id: str) -> str | None:
    return await look_up(workflow_id)


_CONVERTER = pydantic_data_converter.payload_converter
