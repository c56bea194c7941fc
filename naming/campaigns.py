"""The workflows of a campaign: how Temporal knows them."""

from typing import NamedTuple

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from messaging.identity import campaign_lead_workflow_id, campaign_workflow_id
from messaging.models import LeadRef
from naming import attributes

__all__ = ["CAMPAIGN_WORKFLOW", "CampaignIdentity", "campaign_identity", "lead_identity"]

CAMPAIGN_WORKFLOW = "CampaignWorkflow"


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


def lead_identity(lead: LeadRef) -> CampaignIdentity:
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
