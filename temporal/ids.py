"""Workflow IDs. A fixed ID makes a second workflow for the same contact, campaign or message impossible.

In private mode a pseudonym stands for the phone (:func:`messaging.common.private_keys.known_as`). The ledger knows the IDs of
enrollments; what it makes up itself, the IDs of campaigns' leads, has the phone, and :func:`possible_ids` translates it.
"""

import re

from messaging.common.private_keys import known_as, present_keys

__all__ = [
    "campaign_lead_workflow_id",
    "campaign_shard_workflow_id",
    "campaign_workflow_id",
    "device_workflow_id",
    "message_workflow_id",
    "possible_ids",
    "sequence_own_workflow_id",
    "sequence_workflow_id",
]


LEAD = re.compile(r"(campaign:[^:]*:)(\+[0-9]+)")


def sequence_workflow_id(sequence: str, phone: str, *, private: bool = True) -> str:
    """The workflow of one contact in one sequence. ``phone`` is E.164. ``private``: see ``known_as``."""
    return f"sequence:{sequence}:{known_as(phone, private=private)}"


def campaign_workflow_id(campaign: str) -> str:
    """The workflow of a campaign."""
    return f"campaign:{campaign}"


def campaign_shard_workflow_id(campaign: str, shard: int) -> str:
    """The workflow that feeds one shard of a campaign. Its last part cannot be mistaken for a phone."""
    return f"campaign:{campaign}:shard-{shard}"


def campaign_lead_workflow_id(campaign: str, phone: str, *, private: bool = True) -> str:
    """The workflow of one recipient of a campaign. ``phone`` is E.164. ``private``: see ``known_as``."""
    return f"campaign:{campaign}:{known_as(phone, private=private)}"


def message_workflow_id(message_id: object) -> str:
    """The workflow of a message that is sent again or was abandoned. There is one, however often it is started."""
    return f"message:{message_id}"


def device_workflow_id(device: str) -> str:
    """The workflow of a device, on whose page it is watched and steered."""
    return f"device:{device}"


def sequence_own_workflow_id(sequence: str) -> str:
    """The workflow of a sequence itself, on whose page it is watched and steered. Names have no colons."""
    return f"sequence:{sequence}"


def possible_ids(workflow_id: str) -> tuple[str, ...]:
    """The IDs that a workflow of the ledger can have: in private mode, a lead's begins with its pseudonym's.

    The other one is of a workflow that began before private mode was switched on.
    """
    lead = LEAD.fullmatch(workflow_id)
    if lead is None or present_keys() is None:
        return (workflow_id,)
    return (lead[1] + known_as(lead[2]), workflow_id)
