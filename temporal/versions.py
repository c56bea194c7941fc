"""Versions of the workers' code, as Temporal's Worker Versioning has them: which is current, who polls, what runs where.

A deployment has a current version: workflows begin with its workers, and those that are not pinned go over to it with their next
task. Beside it there may be a ramping version, to which a part of them goes. Workers without a version are one more "version" here:
``None``.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType, VersioningBehavior, WorkerVersioningMode
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from messaging.common.errors import Conflict, Unavailable
from messaging.common.values import Value
from temporal.bulk import each

__all__ = [
    "Deployment",
    "Pollers",
    "deployment",
    "gets_work",
    "move_pinned",
    "pinned",
    "pollers",
    "running",
    "set_current",
    "set_ramping",
]

POLLED = timedelta(seconds=90)
"""A poll of a worker that has nothing to do lasts a minute. One whose last poll began before this is gone."""

MISSING = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.UNIMPLEMENTED})
"""There is no such deployment, or the server knows none at all."""


class Deployment(Value):
    """A Worker Deployment. ``current``: its build ID; None: the workers without a version."""

    name: str
    current: str | None
    ramping: str | None
    """To which a part of what is not pinned goes; None: to the workers without a version, or ``percent`` is None."""
    percent: float | None
    """How large that part is; None: nothing is ramping."""
    builds: tuple[str, ...]
    """All versions that Temporal remembers, the one that was current last before the others."""


class Pollers(Value):
    """Who polls the task queue for workflow tasks: the build IDs of the deployment's workers, and whether others do."""

    builds: tuple[str, ...]
    unversioned: bool


async def deployment(client: Client, name: str) -> Deployment | None:
    """The deployment; None if no worker has ever belonged to it. Raises RPCError."""
    try:
        answer = await client.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
        )
    except RPCError as error:
        if error.status in MISSING:
            return None
        raise
    info = answer.worker_deployment_info
    routing = info.routing_config
    # Without a ramp the percentage is 0; a ramp to no version has a time at which it began.
    ramps = routing.HasField("ramping_deployment_version") or routing.ramping_version_percentage > 0
    summaries = sorted(
        info.version_summaries,
        key=lambda one: (one.last_current_time.ToNanoseconds(), one.create_time.ToNanoseconds()),
        reverse=True,
    )
    return Deployment(
        name=name,
        current=routing.current_deployment_version.build_id or None,
        ramping=routing.ramping_deployment_version.build_id or None,
        percent=routing.ramping_version_percentage if ramps else None,
        builds=tuple(one.deployment_version.build_id for one in summaries),
    )


async def pollers(client: Client, task_queue: str, name: str) -> Pollers:
    """Who polls now. Raises RPCError."""
    answer = await _queue(client, task_queue)
    since = datetime.now(UTC) - POLLED
    there = [one for one in answer.pollers if one.last_access_time.ToDatetime(tzinfo=UTC) > since]
    versioned = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
    return Pollers(
        builds=tuple(
            sorted(
                {
                    one.deployment_options.build_id
                    for one in there
                    if one.deployment_options.worker_versioning_mode == versioned
                    and one.deployment_options.deployment_name == name
                }
            )
        ),
        unversioned=any(one.deployment_options.worker_versioning_mode != versioned for one in there),
    )


async def gets_work(client: Client, task_queue: str, build: str | None) -> bool:
    """Whether Temporal gives workers of this version new work from the task queue. Raises RPCError."""
    routing = (await _queue(client, task_queue)).versioning_info
    # Without a version that is set, workers without one have it all; the ramp has its part.
    ramps = routing.HasField("ramping_deployment_version") or routing.ramping_version_percentage > 0
    return build == (routing.current_deployment_version.build_id or None) or (
        ramps and build == (routing.ramping_deployment_version.build_id or None)
    )


async def _queue(client: Client, task_queue: str) -> DescribeTaskQueueResponse:
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )


async def set_current(client: Client, name: str, build: str | None) -> None:
    """Makes the version the current one, and ends a ramp to it. Raises Conflict if none of its workers polls, and RPCError."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=name,
        build_id=build or "",
        identity=client.identity,
        allow_no_pollers=build is None,  # of workers without a version, Temporal sees no pollers here
    )
    try:
        await client.workflow_service.set_worker_deployment_current_version(request)
    except RPCError as error:
        raise _refused(error, build) from error


async def set_ramping(client: Client, name: str, build: str | None, percent: float) -> None:
    """Sends that part of what is not pinned to the version; 0: ends the ramp. Raises Conflict and RPCError as above."""
    request = SetWorkerDeploymentRampingVersionRequest(
        namespace=client.namespace,
        deployment_name=name,
        build_id=build or "" if percent else "",
        percentage=percent,
        identity=client.identity,
        allow_no_pollers=not percent,
    )
    try:
        await client.workflow_service.set_worker_deployment_ramping_version(request)
    except RPCError as error:
        raise _refused(error, build) from error


def _refused(error: RPCError, build: str | None) -> Exception:
    if error.status in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.NOT_FOUND):
        return Conflict(f"Temporal does not take the version {build!r}: {error.message}")
    if error.status is RPCStatusCode.UNIMPLEMENTED:
        return Unavailable("this Temporal server has no Worker Versioning: unset DRUMBEAT_BUILD_ID")
    return error


async def running(client: Client, workflow: str) -> int:
    """How many workflows of the type run."""
    return (
        await client.count_workflows(f"WorkflowType = '{workflow}' and ExecutionStatus = 'Running'")
    ).count


async def pinned(client: Client, name: str, build: str) -> int:
    """How many running workflows are pinned to the version."""
    return (await client.count_workflows(_pinned(name, build))).count


async def move_pinned(client: Client, name: str, build: str) -> int:
    """Lets the running workflows that are pinned to the version go over to the current one; returns how many. Raises RPCError."""

    async def move(execution: WorkflowExecution) -> int:
        override = VersioningOverride(
            auto_upgrade=True, behavior=VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
        )
        try:
            await client.workflow_service.update_workflow_execution_options(
                UpdateWorkflowExecutionOptionsRequest(
                    namespace=client.namespace,
                    workflow_execution=execution,
                    workflow_execution_options=WorkflowExecutionOptions(versioning_override=override),
                    update_mask=FieldMask(paths=["versioning_override"]),
                )
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:  # it has just ended
                return 0
            raise
        return 1

    found = [one async for one in _executions(client, _pinned(name, build))]
    return sum(await each(found, move))


async def _executions(client: Client, query: str) -> AsyncIterator[WorkflowExecution]:
    async for one in client.list_workflows(query):
        yield WorkflowExecution(workflow_id=one.id, run_id=one.run_id)


def _pinned(name: str, build: str) -> str:
    return (
        f"TemporalWorkerDeploymentVersion = '{name}:{build}' and TemporalWorkflowVersioningBehavior = 'Pinned'"
        " and ExecutionStatus = 'Running'"
    )
