"""The workflow of one message whose row is in the ledger: its identity, and how it is started without a campaign.

The workflows of a campaign's leads have IDs that begin with the campaign: see :mod:`temporal.campaigns`.
"""

from typing import NamedTuple

from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from messaging.common.private_keys import known_as
from messaging.sending.outcomes import MessageRef
from temporal import search_attributes as attributes
from temporal.ids import message_workflow_id
from temporal.priorities import of_campaign, of_device

__all__ = ["MESSAGE_WORKFLOW", "MessageIdentity", "message_identity", "start_message"]

MESSAGE_WORKFLOW = "MessageWorkflow"


class MessageIdentity(NamedTuple):
    """The ID, search attributes, summary and priority of a message's workflow."""

    workflow_id: str
    search_attributes: TypedSearchAttributes
    summary: str
    priority: Priority


def message_identity(ref: MessageRef, workflow_id: str, *, private: bool = True) -> MessageIdentity:
    """The identity of a message's workflow: by its own ID, or by its campaign's (:func:`temporal.campaigns.lead_identity`)."""
    of = []
    if ref.campaign:
        of = [SearchAttributePair(attributes.CAMPAIGN, ref.campaign)]
    elif ref.sequence:
        of = [SearchAttributePair(attributes.SEQUENCE, ref.sequence)]
    return MessageIdentity(
        workflow_id=workflow_id,
        search_attributes=TypedSearchAttributes(
            [
                *of,
                SearchAttributePair(attributes.PHONE, known_as(ref.phone, private=private)),
                SearchAttributePair(attributes.DEVICE, ref.device_id),
            ]
        ),
        summary=f"{ref.name or ref.phone} · {ref.what}",
        priority=of_campaign(ref.device_id) if ref.campaign else of_device(ref.device_id),
    )


async def start_message(client: Client, ref: MessageRef, *, task_queue: str, wake: bool = True) -> None:
    """Starts the workflow of a message. One that runs already gets the signal ``wake`` if ``wake`` is true.

    Raises RPCError.
    """
    identity = message_identity(ref, message_workflow_id(ref.message_id))
    await client.start_workflow(
        MESSAGE_WORKFLOW,
        ref,
        id=identity.workflow_id,
        task_queue=task_queue,
        # The ledger's row says whether there is anything to do; a second run reads it, and ends.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # A run that is about to end, because the message was in doubt again, looks once more.
        start_signal="wake" if wake else None,
        search_attributes=identity.search_attributes,
        static_summary=identity.summary,
        priority=identity.priority,
    )
