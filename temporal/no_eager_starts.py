"""Starts of workflows by a worker that has a version.

With an eager start, Temporal gives a new workflow's first task to the worker that starts it, in the answer to that call. It does so
whatever the worker's version is: one that is not current, or was left, would begin new workflows. So such a worker asks for none.
"""

from typing import Any

from temporalio.client import Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle

__all__ = ["NoEagerStarts"]


class NoEagerStarts(Interceptor):
    """Of a client: lets Temporal choose which worker begins a workflow."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        """Wraps the client's calls."""
        return _Calls(next)


class _Calls(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.request_eager_start = False
        return await super().start_workflow(input)
