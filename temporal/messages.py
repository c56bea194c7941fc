"""The workflow of a message that is sent again: how Temporal knows it."""

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from messaging.sending.outcomes import ResendRef
from temporal import search_attributes as attributes
from temporal.ids import resend_workflow_id

__all__ = ["start_resend"]


RESEND_WORKFLOW = "ResendWorkflow"


async def start_resend(client: Client, ref: ResendRef, *, task_queue: str, wake: bool = True) -> None:
    """Starts the message's workflow; one that runs already is told to ``wake``, or left to its own pace.

    Raises RPCError.
    """
    of = (
        SearchAttributePair(attributes.CAMPAIGN, ref.campaign)
        if ref.campaign
        else SearchAttributePair(attributes.SEQUENCE, ref.sequence)
    )
    await client.start_workflow(
        RESEND_WORKFLOW,
        ref,
        id=resend_workflow_id(ref.message_id),
        task_queue=task_queue,
        # The ledger's row tells whether anything is to be done; a second run finds out, and ends.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # One that is about to end, because the message was in doubt once more, looks again.
        start_signal="wake" if wake else None,
        search_attributes=TypedSearchAttributes(
            [
                of,
                SearchAttributePair(attributes.PHONE, ref.phone),
                SearchAttributePair(attributes.DEVICE, ref.device_id),
            ]
        ),
        static_summary=f"{ref.what} · {ref.phone}",
    )
