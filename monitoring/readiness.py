"""Whether a worker is ready: PostgreSQL and Temporal answer it, and Temporal sees it poll."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from messaging.common.database import Pool
from messaging.common.roles import ROLES, Role, queue_of
from messaging.reporting.workers import answers
from monitoring.within import Patient

__all__ = ["Readiness", "Ready"]

WITHIN = 2.0
"""Seconds for each check; all of them run at the same time."""

POLLED = timedelta(seconds=90)
"""A poll of a worker lasts a minute if there is nothing to do. One whose last poll began before this is not polling."""

WORKFLOW, ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY


@dataclass(frozen=True)
class Ready:
    """What each check has found: None if all is well, else what is wrong, in words."""

    database: str | None
    temporal: str | None
    worker: str | None

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return self.database is None and self.temporal is None and self.worker is None

    def as_json(self) -> dict[str, str | bool]:
        """For people and programs."""
        found = {"database": self.database, "temporal": self.temporal, "worker": self.worker}
        return {"ready": self.ready, **{name: wrong or "ok" for name, wrong in found.items()}}


class Readiness:
    """Checks at the moment of the question; nothing is remembered."""

    def __init__(self, client: Client, pool: Pool, task_queue: str, roles: Sequence[Role] = ROLES) -> None:
        self._client = client
        self._polled = {
            name: kind
            for role in roles
            for name, kind in (
                {"workflows": (task_queue, WORKFLOW), "activities": (task_queue, ACTIVITY)}
                if role == "workflows"
                else {role: (queue_of(role, task_queue), ACTIVITY)}
            ).items()
        }
        """The queues and the kinds of their tasks that are to be polled, under names for people."""
        self._identity = client.identity
        self._workers: Sequence[Worker] | None = None
        self._ending = False
        self._only_listens = False
        self._database: Patient[None] = Patient(lambda: answers(pool))
        self._temporal: Patient[list[str]] = Patient(self._not_polled)

    def begins(self, workers: Sequence[Worker]) -> None:
        """The workers that are to poll from now on."""
        self._workers = workers

    def only_listens(self) -> None:
        """This process runs no worker, and only takes what gateways report."""
        self._only_listens = True

    def ends(self) -> None:
        """The worker takes nothing new any more."""
        self._ending = True

    async def check(self) -> Ready:
        """Takes two seconds at most, whatever hangs."""
        database, (temporal, unpolled) = await asyncio.gather(
            _wrong(self._database), self._temporal_and_polls()
        )
        worker = None
        if self._ending:
            worker = "it is about to end"
        elif self._only_listens:
            worker = None
        elif self._workers is None or not all(one.is_running for one in self._workers):
            worker = "it does not run yet" if self._workers is None else "it does not run"
        elif temporal is not None:
            worker = "Temporal does not say whether it polls"
        elif unpolled:
            worker = f"Temporal sees no poll of it for {' and '.join(unpolled)}"
        return Ready(database=database, temporal=temporal, worker=worker)

    async def _temporal_and_polls(self) -> tuple[str | None, list[str]]:
        try:
            return None, await self._temporal.answer(WITHIN)
        except Exception as error:  # noqa: BLE001 - whatever it is, Temporal cannot be used
            return _words(error), []

    async def _not_polled(self) -> list[str]:
        """The kinds of tasks that Temporal sees no poll of this process for. Raises RPCError."""
        if self._only_listens:
            await self._client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=timedelta(seconds=WITHIN)
            )
            return []
        now = datetime.now(UTC)
        polls = await asyncio.gather(*(self._polls(*queue, now) for queue in self._polled.values()))
        return [name for name, polled in zip(self._polled, polls, strict=True) if not polled]

    async def _polls(self, name: str, kind: "TaskQueueType.ValueType", now: datetime) -> bool:
        queue = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=name),
                task_queue_type=kind,
            ),
            timeout=timedelta(seconds=WITHIN),
        )
        return any(
            poller.identity == self._identity
            and poller.last_access_time.ToDatetime(tzinfo=UTC) > now - POLLED
            for poller in queue.pollers
        )


async def _wrong(check: Patient[None]) -> str | None:
    try:
        await check.answer(WITHIN)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server cannot be used
        return _words(error)
    return None


def _words(error: Exception) -> str:
    text = error.message if isinstance(error, RPCError) else str(error)
    return next(iter(text.strip().splitlines()), "") or type(error).__name__
