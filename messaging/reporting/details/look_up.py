"""Finds the details of a workflow by its ID."""

from messaging.common.database import Pool
from messaging.reporting.details.campaign import campaign_details
from messaging.reporting.details.contact import contact_details, message_details
from messaging.reporting.details.device import device_details
from messaging.reporting.details.sequence import sequence_details

__all__ = ["details_of"]


async def details_of(pool: Pool, workflow_id: str) -> str | None:
    """The details of the workflow with this ID, in Markdown; None for one that the ledger has nothing of."""
    match workflow_id.split(":"):
        case ["sequence", sequence]:
            return await sequence_details(pool, sequence)
        case ["sequence", sequence, phone]:
            return await contact_details(pool, sequence, phone)
        case ["campaign", campaign]:
            return await campaign_details(pool, campaign)
        case ["campaign", campaign, phone] if phone.startswith("+"):
            return await message_details(pool, campaign=campaign, phone=phone)
        case ["message", message]:
            return await message_details(pool, message=message)
        case ["device", device]:
            return await device_details(pool, device)
        case _:
            return None
