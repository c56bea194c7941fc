"""Sends each activity to the task queue of its role, unless the workflow's own worker has that role.

Then it stays on the workflow's queue, where it is taken faster. The task queue of an activity is no part of what a replay
compares, so roles may change while workflows run.
"""

from collections.abc import Mapping
from typing import Any

from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

__all__ = ["Router"]


class Router(Interceptor):
    """Of a worker: names the task queues of activities that it does not run itself."""

    def __init__(self, queues: Mapping[str, str]) -> None:
        """``queues``: by the activity's name. All others stay on the workflow's queue."""
        self._queues = queues

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor] | None:
        """Wraps the workflows."""
        queues = self._queues
        if not queues:
            return None

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(_Outbound(outbound, queues))

        return Inbound


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, following: WorkflowOutboundInterceptor, queues: Mapping[str, str]) -> None:
        super().__init__(following)
        self._queues = queues

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        input.task_queue = input.task_queue or self._queues.get(input.activity)
        return super().start_activity(input)
