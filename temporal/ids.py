"""Workflow IDs. A fixed ID makes a second workflow for the same contact, campaign or message impossible."""

from messaging.common.phones import require_e164

__all__ = [
    "campaign_lead_workflow_id",
    "campaign_shard_workflow_id",
    "campaign_workflow_id",
    "device_workflow_id",
    "message_workflow_id",
    "sequence_own_workflow_id",
    "sequence_workflow_id",
]


def sequence_workflow_id(sequence: str, phone: str) -> str:
    """The workflow of one contact in one sequence. ``phone`` is E.164."""
    return f"sequence:{sequence}:{require_e164(phone)}"


def campaign_workflow_id(campaign: str) -> str:
    """The workflow of a campaign."""
    return f"campaign:{campaign}"


def campaign_shard_workflow_id(campaign: str, shard: int) -> str:
    """The workflow that feeds one shard of a campaign. Its last part cannot be mistaken for a phone."""
    return f"campaign:{campaign}:shard-{shard}"


def campaign_lead_workflow_id(campaign: str, phone: str) -> str:
    """The workflow of one recipient of a campaign. ``phone`` is E.164."""
    return f"campaign:{campaign}:{require_e164(phone)}"


def message_workflow_id(message_id: object) -> str:
    """The workflow of a message that is sent again or was abandoned. There is one, however often it is started."""
    return f"message:{message_id}"


def device_workflow_id(device: str) -> str:
    """The workflow of a device, on whose page it is watched and steered."""
    return f"device:{device}"


def sequence_own_workflow_id(sequence: str) -> str:
    """The workflow of a sequence itself, on whose page it is watched and steered. Names have no colons."""
    return f"sequence:{sequence}"
