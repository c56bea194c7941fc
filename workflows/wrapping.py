"""Runners of workflows that wrap another one, to do something before or after it."""

from collections.abc import Sequence
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import Info

__all__ = ["WrappedInstance", "WrappedRunner"]


class WrappedRunner(WorkflowRunner):
    """Does what the other runner does. A subclass wraps the runs, too."""

    def __init__(self, runner: WorkflowRunner) -> None:
        self._runner = runner

    def prepare_workflow(self, defn: Any) -> None:
        """As the other runner has it."""
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """One run of a workflow, by the other runner."""
        return self._runner.create_instance(det)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """As the other runner has it."""
        self._runner.set_worker_level_failure_exception_types(types)


class WrappedInstance(WorkflowInstance):
    """Does what the other run does."""

    def __init__(self, instance: WorkflowInstance) -> None:
        self._instance = instance

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """As the other run has it."""
        return self._instance.activate(act)

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        """As the other run has it."""
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        """As the other run has it."""
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> Info:
        """As the other run has it."""
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        """As the other run has it."""
        return self._instance.get_thread_id()
