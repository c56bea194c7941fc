"""Hands work over to the one workflow that signals others about changes."""

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from messaging.sending.telling import Tell, Telling

__all__ = ["start_telling"]

TELLING = "telling"
TELLING_WORKFLOW = "TellingWorkflow"


async def start_telling(client: Client, tell: Tell, *, task_queue: str) -> None:
    """Hands ``tell`` over to the workflow that runs, or to a new one, and returns. Raises RPCError."""
    await client.start_workflow(
        TELLING_WORKFLOW,
        Telling(),
        id=TELLING,
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="add",
        start_signal_args=[tell],
        static_summary="signals workflows about what has changed, at a pace that the workers keep up with",
    )
