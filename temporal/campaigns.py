"""The workflows of a campaign: how Temporal knows them, and the one way to start a lead's."""

from contextlib import suppress
from typing import NamedTuple

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.sending.outcomes import CampaignMessageRef
from temporal import search_attributes as attributes
from temporal.ids import campaign_lead_workflow_id, campaign_workflow_id

__all__ = ["CAMPAIGN_WORKFLOW", "CampaignIdentity", "campaign_identity", "lead_identity", "start_lead"]

CAMPAIGN_WORKFLOW = "CampaignWorkflow"
LEAD_WORKFLOW = "CampaignLeadWorkflow"


class CampaignIdentity(NamedTuple):
    """What Temporal is told of a campaign's workflow, or of a lead's, at the start."""

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


def lead_identity(lead: CampaignMessageRef) -> CampaignIdentity:
    """The identity of one lead of a campaign: there is no second workflow for it."""
    return CampaignIdentity(
        workflow_id=campaign_lead_workflow_id(lead.campaign, lead.phone),
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.CAMPAIGN, lead.campaign),
                SearchAttributePair(attributes.PHONE, lead.phone),
                SearchAttributePair(attributes.DEVICE, lead.device_id),
            ]
        ),
        summary=f"{lead.name or lead.phone} · {lead.campaign}",
    )


async def start_lead(client: Client, lead: CampaignMessageRef, *, task_queue: str) -> None:
    """Starts a lead's workflow, unless it is on its way.

    Where ``client`` is a worker's own, the first task comes with the server's answer (an eager start): neither a queue
    nor another transaction lies between.
    """
    identity = lead_identity(lead)
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            LEAD_WORKFLOW,
            lead,
            id=identity.workflow_id,
            task_queue=task_queue,
            # The ledger knows what was sent: a lead whose message failed is started again by retry-failed.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
            request_eager_start=True,
        )
