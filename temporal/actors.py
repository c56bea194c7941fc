"""Takes along who acts, in the headers of workflows, signals, updates and activities.

A client says for whom it starts, signals and updates. In a workflow, a handler runs for whoever has called it; a caller
without such a header is the Temporal Web UI. What such a handler has activities do is the act of that caller, whose name the
activity's database connections get (messaging.events.acting).
"""

from collections.abc import Mapping
from typing import Any, Final

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    HandleSignalInput,
    HandleUpdateInput,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.worker import Interceptor as WorkerInterceptor

from messaging.events.acting import ITSELF, WEB_UI, Actor, acting, present_actor

__all__ = ["Receiver", "Sender", "starter_of_this_run"]

HEADER: Final = "drumbeat-actor"

Headers = Mapping[str, Payload]


def _with(headers: Headers, actor: Actor | None) -> Headers:
    if actor is None or actor == ITSELF:
        return headers
    return {
        **headers,
        HEADER: Payload(metadata={"encoding": b"binary/plain"}, data="\n".join(actor).encode()),
    }


def _actor_in(headers: Headers) -> Actor | None:
    payload = headers.get(HEADER)
    name, line, via = (
        payload.data.decode(errors="replace").partition("\n") if payload is not None else ("", "", "")
    )
    return Actor(name, via) if line else None


def starter_of_this_run() -> Actor | None:
    """Who started the workflow that this is called in; None: Drumbeat itself, or nobody knows."""
    return _actor_in(workflow.info().headers)


class Sender(Interceptor):
    """Of a client: says whose acts its calls are."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        """Wraps the client's calls."""
        return _Calls(next, self._actor)


class _Calls(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, actor: Actor) -> None:
        super().__init__(following)
        self._actor = actor

    def _said(self, headers: Headers) -> Headers:
        return _with(headers, present_actor() or self._actor)

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = self._said(input.headers)
        return await super().start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        input.headers = self._said(input.headers)
        await super().signal_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:  # noqa: A002
        input.headers = self._said(input.headers)
        return await super().start_workflow_update(input)


class Receiver(WorkerInterceptor):
    """Of a worker: its handlers and activities act for whom the headers name."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps the activities."""
        return _Activities(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002
    ) -> type[WorkflowInboundInterceptor]:
        """Wraps the workflows."""
        return _Handlers


class _Activities(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        with acting(_actor_in(input.headers)):
            return await super().execute_activity(input)


class _Handlers(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        with acting(_actor_in(input.headers) or WEB_UI):
            await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        with acting(_actor_in(input.headers) or WEB_UI):
            return await super().handle_update_handler(input)


class _Outbound(WorkflowOutboundInterceptor):
    """Headers are no part of what a replay compares."""

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = _with(input.headers, present_actor())
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = _with(input.headers, present_actor())
        return super().start_local_activity(input)
