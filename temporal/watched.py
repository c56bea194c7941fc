"""The workflows of devices and sequences: their identities, and how they are told a new state."""

from typing import Final

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from messaging.common.database import Pool
from messaging.reporting.shown import Shown, not_shown, note_shown
from temporal import search_attributes as attributes
from temporal.bulk import each
from temporal.ids import device_workflow_id, sequence_own_workflow_id

__all__ = ["DEVICE_WORKFLOW", "SEQUENCE_WORKFLOW", "show_states"]

DEVICE_WORKFLOW: Final = "DeviceWorkflow"
SEQUENCE_WORKFLOW: Final = "SequenceWorkflow"


async def show_states(client: Client, pool: Pool, *, task_queue: str) -> None:
    """Tells the workflows of devices and sequences their states, if these have changed since. Raises RPCError."""

    async def show(one: Shown) -> None:
        await _tell(client, one, task_queue=task_queue)
        await note_shown(pool, one)

    await each(await not_shown(pool), show)


async def _tell(client: Client, shown: Shown, *, task_queue: str) -> None:
    """Signals it its state; starts it if it does not run."""
    is_device = shown.kind == "device"
    await client.start_workflow(
        DEVICE_WORKFLOW if is_device else SEQUENCE_WORKFLOW,
        {"name": shown.name, "state": shown.state},  # a Watched
        id=device_workflow_id(shown.name) if is_device else sequence_own_workflow_id(shown.name),
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="changed",
        start_signal_args=[shown.state],
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.DEVICE if is_device else attributes.SEQUENCE, shown.name),
                SearchAttributePair(attributes.STATE, shown.state),
            ]
        ),
        static_summary=f"{shown.kind} {shown.name}",
    )
