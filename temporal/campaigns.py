"""The workflows of a campaign: how Temporal knows them, and how an activity starts a lead's."""

from contextlib import suppress
from typing import NamedTuple

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.sending.outcomes import MessageRef
from temporal import search_attributes as attributes
from temporal.ids import campaign_lead_workflow_id, campaign_workflow_id
from temporal.messages import MESSAGE_WORKFLOW, MessageIdentity, message_identity

__all__ = ["CampaignIdentity", "campaign_identity", "lead_identity", "start_lead"]


class CampaignIdentity(NamedTuple):
    """What Temporal is told of a campaign's workflow at the start."""

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


def lead_identity(lead: MessageRef) -> MessageIdentity:
    """The identity of one lead of a campaign, whose message has a workflow: there is no second one for it."""
    return message_identity(lead, campaign_lead_workflow_id(lead.campaign, lead.phone))


async def start_lead(client: Client, lead: MessageRef, *, task_queue: str) -> None:
    """Starts a lead's workflow, unless it is on its way.

    Where ``client`` is a worker's own, the first task comes with the server's answer (an eager start): neither a queue
    nor another transaction lies between.
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
            request_eager_start=True,
        )
