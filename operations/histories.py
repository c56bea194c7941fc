"""What Temporal's histories know of messages and enrollments: read after a restore of the ledger, to rebuild its rows.

Each attempt to send is an activity, so the history has it, and what it answered. What was asked and not answered is in doubt.
"""

import json
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution

from messaging.common.values import Value
from messaging.sending.message_status import MessageStatus
from operations.connection import Drumbeat
from temporal.bulk import each
from temporal.contacts import CONTACT_WORKFLOW
from temporal.messages import MESSAGE_WORKFLOW

__all__ = ["Attempted", "Known", "read_histories"]

LATE = timedelta(hours=1)
"""How long before the moment of the backup workflows count that have ended: Temporal's clock may be another one."""

NOT_SENT = ("waits for its slot", " sends from ", " of the day", "is paused")
"""In the reason of an answer that comes from the claim: the attempt has not reached the gateway."""


class Attempted(NamedTuple):
    """What became of a message, or of a step (``step_id``). ``status`` None: it may have been sent."""

    status: MessageStatus | None
    at: datetime
    reason: str | None = None
    step_id: int | None = None


class Known(Value):
    """What the runs of one workflow know."""

    workflow_id: str
    run_id: str
    """The first run."""
    kind: str
    started_at: datetime
    request: dict[str, Any]
    """The workflow's input."""
    running: bool
    enrollment_id: int | None = None
    duplicate: bool = False
    paused: str | None = None
    outcome: str | None = None
    """Of a contact that has left: as in ContactResult."""
    reason: str | None = None
    attempts: tuple[Attempted, ...] = ()


class _Reader:
    """Goes through the events of one workflow's runs, in order."""

    def __init__(self, client: Client, until: datetime) -> None:
        self._client = client
        self._until = until
        self.input: dict[str, Any] = {}
        self.first_run = ""
        self.enrolled: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self.due: dict[str, Any] | None = None
        self.opted_out = False
        self.attempts: dict[int | None, Attempted] = {}
        self._open: dict[int, tuple[str, int | None]] = {}
        self._tries: dict[int, int] = {}

    async def read(self, execution: WorkflowExecution) -> None:
        """Reads one run."""
        self._open.clear()
        self._tries.clear()
        task_at = execution.start_time
        marked = True  # no workflow task is open
        handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
        async for event in handle.fetch_history_events(page_size=256):
            at = event.event_time.ToDatetime(tzinfo=execution.start_time.tzinfo)
            match event.event_type:
                case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                    started = event.workflow_execution_started_event_attributes
                    self.input = await self._one(started.input.payloads)
                    self.first_run = started.first_execution_run_id or execution.run_id
                case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                    task_at, marked = at, False
                case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    marked = True
                case EventType.EVENT_TYPE_MARKER_RECORDED:
                    await self._marker(event.marker_recorded_event_attributes, at)
                case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                    await self._scheduled(event.event_id, event.activity_task_scheduled_event_attributes, at)
                case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                    began = event.activity_task_started_event_attributes
                    self._tries[began.scheduled_event_id] = began.attempt
                case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                    done = event.activity_task_completed_event_attributes
                    name, step = self._open.pop(done.scheduled_event_id, ("", None))
                    again = self._tries.get(done.scheduled_event_id, 1) > 1
                    await self._answered(name, step, await self._one(done.result.payloads), at, again=again)
                case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                    name = event.workflow_execution_signaled_event_attributes.signal_name
                    self.opted_out = self.opted_out or name == "opt_out"
                case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                    ended = event.workflow_execution_completed_event_attributes
                    self.result = await self._one(ended.result.payloads)
                    if "status" in self.result:  # of a message
                        self._note(None, MessageStatus(self.result["status"]), at, self.result.get("reason"))
        if is_of_message(execution) and not marked and None not in self.attempts and task_at <= self._until:
            # A task has begun that sends within it.
            self._note(None, None, task_at, None)

    async def _scheduled(self, event_id: int, scheduled: Any, at: datetime) -> None:
        name = scheduled.activity_type.name
        step = None
        if name == "send_step":
            asked = await self._one(scheduled.input.payloads)
            step = asked["step_id"]
            self.enrolled.setdefault("enrollment_id", asked["enrollment_id"])
        self._open[event_id] = (name, step)
        if name in ("send_step", "send_message") and at <= self._until:
            before = self.attempts.get(step)
            if before is None or before.status is None:
                self._note(step, None, at, None)

    async def _marker(self, marker: Any, at: datetime) -> None:
        if marker.marker_name != "core_local_activity" or "result" not in marker.details:
            return
        name = json.loads(marker.details["data"].payloads[0].data)["activity_type"]
        await self._answered(name, None, await self._one(marker.details["result"].payloads), at, again=False)

    async def _answered(self, name: str, step: int | None, answer: Any, at: datetime, *, again: bool) -> None:
        if isinstance(answer, dict) and "next" in answer:
            self.due = answer["next"]
        if name == "enroll" and isinstance(answer, dict) and answer.get("kind") == "enrolled":
            self.enrolled = answer
        elif name == "replan":
            self.due = answer
        elif name in ("send_step", "send_message"):
            self._sent(step, answer, at, again=again)

    def _sent(self, step: int | None, answer: dict[str, Any], at: datetime, *, again: bool) -> None:
        reason = answer.get("reason")
        kind = answer["kind"]
        if kind == "settled":
            self._note(step, MessageStatus(answer["status"]), at, reason)
        elif (
            kind == "replanned"
            or answer.get("elsewhere")
            or (not again and any(words in (reason or "") for words in NOT_SENT))
        ):
            # This attempt sent nothing; those before it may have.
            before = self.attempts.get(step)
            if before is not None and before.status is None and before.reason is None:
                del self.attempts[step]
        elif at <= self._until:
            self._note(step, None, at, reason or "an attempt has not said what became of it")

    def _note(self, step: int | None, status: MessageStatus | None, at: datetime, reason: str | None) -> None:
        self.attempts[step] = Attempted(status, at, reason, step)

    async def _one(self, payloads: Any) -> Any:
        if not payloads:
            return {}
        (value,) = await self._client.data_converter.decode(list(payloads)[:1])
        return value


def is_of_message(execution: WorkflowExecution) -> bool:
    """True for the workflow of one message."""
    return execution.workflow_type == MESSAGE_WORKFLOW


async def read_histories(
    drumbeat: Drumbeat, *, since: datetime | None, until: datetime, only: Collection[str] | None = None
) -> list[Known]:
    """What the workflows of contacts and messages know that run, or have ended after ``since`` (None: all that Temporal has).

    ``until``: attempts after that are held, and send nothing. ``only``: of the workflows with these IDs.
    """
    by_workflow: dict[str, list[WorkflowExecution]] = {}
    async for execution in _listed(drumbeat.temporal, since):
        if only is None or execution.id in only:
            by_workflow.setdefault(execution.id, []).append(execution)

    async def read(runs: list[WorkflowExecution]) -> Known:
        runs.sort(key=lambda run: run.start_time)
        reader = _Reader(drumbeat.temporal, until)
        for run in runs:
            await reader.read(run)
        last = runs[-1]
        ended = reader.result.get("outcome")
        return Known(
            workflow_id=last.id,
            run_id=reader.first_run,
            kind=last.workflow_type,
            started_at=runs[0].start_time,
            request=reader.input,
            running=last.close_time is None,
            enrollment_id=reader.enrolled.get("enrollment_id"),
            duplicate=bool(reader.enrolled.get("duplicate")) or ended == "duplicate",
            paused=(reader.due or {}).get("paused"),
            outcome="opted_out" if reader.opted_out else ended,
            reason=reader.result.get("reason"),
            attempts=tuple(reader.attempts.values()),
        )

    return await each(by_workflow.values(), read)


async def _listed(client: Client, since: datetime | None) -> AsyncIterator[WorkflowExecution]:
    types = f"WorkflowType in ('{CONTACT_WORKFLOW}', '{MESSAGE_WORKFLOW}')"
    ended = "" if since is None else f" and CloseTime >= '{(since - LATE).isoformat()}'"
    for state in ("ExecutionStatus = 'Running'", f"ExecutionStatus != 'Running'{ended}"):
        async for execution in client.list_workflows(f"{types} and {state}", page_size=1000):
            yield execution
