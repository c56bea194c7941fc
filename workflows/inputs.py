"""Checks the inputs of workflows and signals before workflow code sees them: any client can send anything.

An input that cannot be decoded never reaches the workflow's code; by default, its first task would be retried for ever.
With this runner such a workflow fails once, with a clear message, and a signal that cannot be decoded is skipped. A
plain exception in workflow code still makes Temporal retry the task: that is a bug in Drumbeat, which newer code can
fix. Updates and queries with wrong arguments are refused by Temporal's SDK.
"""

import logging
from collections.abc import Sequence

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails

from workflows.wrapping import WrappedInstance, WrappedRunner

__all__ = ["CheckingRunner"]

logger = logging.getLogger("drumbeat")

SHOWN = 3
"""How many problems of one input an error names."""


class CheckingRunner(WrappedRunner):
    """Wraps another workflow runner, and keeps inputs from workflows that they cannot decode."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Creates one run of a workflow, and checks its input and its signals."""
        return _Checked(super().create_instance(det), det)


class _Checked(WrappedInstance):
    def __init__(self, instance: WorkflowInstance, details: WorkflowInstanceDetails) -> None:
        super().__init__(instance)
        self._defn = details.defn
        self._failures = details.failure_converter_class()
        self._failed = False

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Fails the workflow if its input cannot be decoded; otherwise drops the signals that cannot be decoded, and
        goes on.
        """
        for job in act.jobs:
            if job.HasField("initialize_workflow"):
                problem = _problem(job.initialize_workflow.arguments, self._defn.arg_types or [])
                if problem is not None:
                    self._failed = True
                    return self._failure(f"{self._defn.name} cannot be run: {problem}")
        if self._failed:  # only its eviction from the cache can follow
            return _nothing()
        readable = [job for job in act.jobs if not job.HasField("signal_workflow") or self._can_read(job)]
        if len(readable) < len(act.jobs):
            if not readable:
                return _nothing()
            rest = WorkflowActivation()
            rest.CopyFrom(act)
            del rest.jobs[:]
            rest.jobs.extend(readable)
            act = rest
        return super().activate(act)

    def _failure(self, message: str) -> WorkflowActivationCompletion:
        completion = _nothing()
        error = ApplicationError(message, type="InvalidInput", non_retryable=True)
        failure = completion.successful.commands.add().fail_workflow_execution.failure
        self._failures.to_failure(error, _CONVERTER, failure)
        return completion

    def _can_read(self, job: WorkflowActivationJob) -> bool:
        signal = job.signal_workflow
        known = self._defn.signals.get(signal.signal_name)
        if known is None:
            return True  # Temporal's SDK buffers a signal that has no handler
        wanted = known.arg_types or []
        if not wanted and all(payload.metadata.get("encoding") == b"binary/null" for payload in signal.input):
            del signal.input[:]  # some SDKs send null where there is no argument
        problem = _problem(signal.input, wanted)
        if problem is not None:
            info = self.get_info()
            logger.warning(
                "the signal %s to %s is passed over: %s", signal.signal_name, info.workflow_id, problem
            )
        return problem is None


def _problem(payloads: Sequence[Payload], types: Sequence[type]) -> str | None:
    """Why the payloads cannot be decoded as these types, in one line; None if they can."""
    if len(payloads) != len(types):
        return f"it takes {_arguments(len(types))}, and was given {len(payloads) or 'none'}"
    try:
        values = _CONVERTER.from_payloads(payloads, list(types))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem["loc"] else problem["msg"]
            for problem in problems[:SHOWN]
        ]
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        wanted = ", ".join(getattr(kind, "__name__", str(kind)) for kind in types)
        return f"its input does not fit {wanted}: {'; '.join(named)}{more}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the payload is not what we write
        return f"its input cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
    # Temporal encodes null in its own way, and decodes it whatever the type is.
    return "its input is null" if any(value is None for value in values) else None


def _arguments(number: int) -> str:
    return "no argument" if number == 0 else "one argument" if number == 1 else f"{number} arguments"


_CONVERTER = pydantic_data_converter.payload_converter


def _nothing() -> WorkflowActivationCompletion:
    completion = WorkflowActivationCompletion()
    completion.successful.SetInParent()
    return completion
