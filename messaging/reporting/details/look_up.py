"""Finds the details of a workflow by its ID."""

from messaging.common.database import Pool
from messaging.reporting.details.campaign import campaign_details
from messaging.reporting.details.contact import contact_details, message_details
from messaging.reporting.details.device import device_details
from messaging.reporting.details.sequence import sequence_details

__all__ = ["details_of"]

SELECT_PHONE = """
select c.phone
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
 where s.name = $1 and c.workflow_id = $2
"""


async def details_of(pool: Pool, workflow_id: str) -> str | None:
    """The details of the workflow with this ID, in Markdown; None for one that the ledger has nothing of."""
    match workflow_id.split(":"):
        case ["sequence", sequence]:
            return await sequence_details(pool, sequence)
        case ["sequence", sequence, phone]:
            if not phone.startswith("+"):  # a pseudonym
                phone = await pool.fetchval(SELECT_PHONE, sequence, workflow_id)
            return await contact_details(pool, sequence, phone) if phone else None
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
