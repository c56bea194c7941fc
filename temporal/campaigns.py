"""The workflows of a campaign: their identities, how they are signalled, and how an activity starts a lead's
workflow.
"""

from contextlib import suppress
from typing import NamedTuple

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.campaigns.contract import CampaignState
from messaging.sending.outcomes import MessageRef
from temporal import search_attributes as attributes
from temporal.bulk import signal_each
from temporal.ids import campaign_lead_workflow_id, campaign_shard_workflow_id, campaign_workflow_id
from temporal.messages import MESSAGE_WORKFLOW, MessageIdentity, message_identity

__all__ = [
    "CAMPAIGN_WORKFLOW",
    "CampaignIdentity",
    "campaign_identity",
    "lead_identity",
    "start_lead",
    "tell_campaign",
]

CAMPAIGN_WORKFLOW = "CampaignWorkflow"


class CampaignIdentity(NamedTuple):
    """The ID, search attributes and summary of a campaign's workflow."""

    workflow_id: str
    search_attributes: TypedSearchAttributes
    summary: str


def campaign_identity(campaign: str, title: str) -> CampaignIdentity:
    """The identity of a campaign."""
    return CampaignIdentity(
        workflow_id=campaign_workflow_id(campaign),
        search_attributes=TypedSearchAttributes([SearchAttributePair(attributes.CAMPAIGN, campaign)]),
        summary=f"campaign {title or campaign}",
    )


def lead_identity(lead: MessageRef, *, private: bool = True) -> MessageIdentity:
    """The identity of the workflow of one lead's message. Its ID makes a second one impossible.

    ``private``: see :func:`messaging.common.private_keys.known_as`.
    """
    workflow_id = campaign_lead_workflow_id(lead.campaign, lead.phone, private=private)
    return message_identity(lead, workflow_id, private=private)


async def start_lead(client: Client, lead: MessageRef, *, task_queue: str) -> None:
    """Starts a lead's workflow, unless it runs.

    If ``client`` is a worker's own, the first task comes with the server's answer (an eager start), without a task
    queue and without another transaction.
    """
    identity = lead_identity(lead)
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            MESSAGE_WORKFLOW,
            lead,
            id=identity.workflow_id,
            task_queue=task_queue,
            # The ledger knows what was sent: a lead whose message failed is started again by retry-failed.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
            priority=identity.priority,
            request_eager_start=True,
        )


async def tell_campaign(client: Client, state: CampaignState, *, task_queue: str) -> None:
    """Signals the workflows of a campaign to read its row again: those of its shards first, then the campaign's own.

    The campaign's own workflow is started if the campaign is under way and none runs. Raises RPCError.
    """
    if state.shards > 1:  # the campaign's own workflow feeds the only shard
        shards = [campaign_shard_workflow_id(state.campaign, shard) for shard in range(state.shards)]
        await signal_each(client, shards, "changed")
    identity = campaign_identity(state.campaign, state.title)
    if state.over or state.status == "draft":
        await signal_each(client, [identity.workflow_id], "changed")
        return
    await client.start_workflow(
        CAMPAIGN_WORKFLOW,
        {"campaign": state.campaign},  # a CampaignRun
        id=identity.workflow_id,
        task_queue=task_queue,
        # The row says whether there is anything to do; a second run reads it, and ends.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="changed",
        search_attributes=identity.search_attributes,
        static_summary=identity.summary,
    )
