"""Deletes workflows, with their histories and what the lists show of them."""

from collections.abc import Sequence

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from temporal.bulk import each

__all__ = ["delete_workflows", "is_campaigns_own"]

TOGETHER = 50
"""IDs of one query."""


def is_campaigns_own(workflow_id: str) -> bool:
    """Whether this is the workflow of a campaign or of one of its shards, which are about many people."""
    parts = workflow_id.split(":")
    return parts[0] == "campaign" and (len(parts) == 2 or parts[-1].startswith("shard-"))


async def delete_workflows(client: Client, workflow_ids: Sequence[str]) -> list[str]:
    """Deletes all runs of these workflows; of a campaign's own, those that have ended. Answers which IDs have runs still.

    Temporal ends a run that it deletes, and deletes it some moments later: call this again until none is left. Raises
    RPCError.
    """
    left: set[str] = set()

    async def delete(workflow_id: str, run_id: str) -> None:
        try:
            await client.workflow_service.delete_workflow_execution(
                DeleteWorkflowExecutionRequest(
                    namespace=client.namespace,
                    workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                )
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def look(workflow_id: str) -> None:
        try:
            found = await client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return
        left.add(workflow_id)
        if found.status is not WorkflowExecutionStatus.RUNNING or not is_campaigns_own(workflow_id):
            await delete(workflow_id, found.run_id)

    await each(workflow_ids, look)
    for start in range(0, len(workflow_ids), TOGETHER):
        some = ", ".join(f"'{one}'" for one in workflow_ids[start : start + TOGETHER])
        async for run in client.list_workflows(f"WorkflowId in ({some})"):
            if run.status is WorkflowExecutionStatus.RUNNING and is_campaigns_own(run.id):
                continue
            left.add(run.id)
            await delete(run.id, run.run_id)
    return sorted(left)
