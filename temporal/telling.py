"""The workflow that tells others what has changed. There is one of it; what is to be told is handed over to it."""

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from messaging.sending.telling import Tell, Telling

__all__ = ["start_telling"]

TELLING = "telling"
TELLING_WORKFLOW = "TellingWorkflow"


async def start_telling(client: Client, tell: Tell, *, task_queue: str) -> None:
    """Has it told by the workflow that runs, or by a new one. Returns when it is handed over. Raises RPCError."""
    await client.start_workflow(
        TELLING_WORKFLOW,
        Telling(),
        id=TELLING,
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="add",
        start_signal_args=[tell],
        static_summary="tells contacts what has changed, at a pace that the workers keep up with",
    )
