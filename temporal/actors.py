"""Takes along who acts, in the headers of workflows, signals, updates and activities.

A client says for whom it starts, signals and updates. In a workflow, a handler runs for whoever has called it; a caller
without such a header is the Temporal Web UI. What such a handler has activities do is the act of that caller, whose name the
activity's database connections get (messaging.events.acting).

The Web UI says who uses it only where people log in there: as the identity of the request, which the workflow does not see, but
its history has.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.service import RPCError
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

from messaging.common.errors import InvalidInput
from messaging.events.acting import ITSELF, WEB_UI, Actor, acting, named, present_actor

__all__ = ["Receiver", "Sender", "starter_of_this_run"]

HEADER: Final = "drumbeat-actor"

STOPS = ("stop", "opt_out")
"""Signals that end an enrollment."""

TEMPORAL_CLI = "temporal-cli:"

PROCESS = re.compile(r"\d+@.*")

EVENTS = 50
"""How many events of a history are looked at, from the last one back."""

QUICKLY = timedelta(seconds=2)

Headers = Mapping[str, Payload]


_update: ContextVar[str] = ContextVar("drumbeat_update", default="")
"""The ID of the update that is being handled."""


def _with(headers: Headers, actor: Actor | None) -> Headers:
    if actor is None or actor == ITSELF:
        return headers
    words = "\n".join((*actor, *filter(None, [_update.get()])))
    return {**headers, HEADER: Payload(metadata={"encoding": b"binary/plain"}, data=words.encode())}


def _words_in(headers: Headers) -> list[str]:
    payload = headers.get(HEADER)
    return payload.data.decode(errors="replace").split("\n") if payload is not None else []


def _actor_in(headers: Headers) -> Actor | None:
    words = _words_in(headers)
    return Actor(words[0], words[1]) if len(words) > 1 else None


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
        actor = _actor_in(input.headers)
        if actor == WEB_UI:
            actor = await _user_of_the_web_ui(*_words_in(input.headers)[2:])
        with acting(actor):
            return await super().execute_activity(input)


async def _user_of_the_web_ui(update: str = "") -> Actor:
    """Whoever sent this update to the workflow of the present activity; or else, its last cancellation or stop."""
    info = activity.info()
    if info.workflow_id is None:
        return WEB_UI
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=info.namespace,
        execution=WorkflowExecution(workflow_id=info.workflow_id, run_id=info.workflow_run_id or ""),
        maximum_page_size=EVENTS,
    )
    try:
        service = activity.client().workflow_service
        answer = await service.get_workflow_execution_history_reverse(request, timeout=QUICKLY)
    except (RPCError, RuntimeError):  # the change is more important than the name
        return WEB_UI
    for event in answer.history.events:
        accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.meta
        signal = event.workflow_execution_signaled_event_attributes
        if update and accepted.update_id == update:
            return _named(accepted.identity)
        if not update and signal.signal_name in STOPS:
            return _named(signal.identity)
        if not update and event.HasField("workflow_execution_cancel_requested_event_attributes"):
            return _named(event.workflow_execution_cancel_requested_event_attributes.identity)
    return WEB_UI


def _named(identity: str) -> Actor:
    """The identity, if it is a person's: that of an SDK is a process, and Temporal's command line puts itself before."""
    try:
        return (
            WEB_UI if PROCESS.fullmatch(identity) else named(identity.removeprefix(TEMPORAL_CLI), WEB_UI.via)
        )
    except InvalidInput:
        return WEB_UI


class _Handlers(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        with acting(_actor_in(input.headers) or WEB_UI):
            await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        token = _update.set(input.id)
        try:
            with acting(_actor_in(input.headers) or WEB_UI):
                return await super().handle_update_handler(input)
        finally:
            _update.reset(token)


class _Outbound(WorkflowOutboundInterceptor):
    """Headers are no part of what a replay compares."""

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = _with(input.headers, present_actor())
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = _with(input.headers, present_actor())
        return super().start_local_activity(input)
