"""What gateways tell afterwards: a message was delivered, was read, went wrong late, or did go out when nobody knew."""

from collections.abc import Iterable

from messaging.database import Connection
from messaging.gateways.base import Receipt

__all__ = ["record_receipts"]


async def record_receipts(connection: Connection, gateway: str, receipts: Iterable[Receipt]) -> int:
    """Writes receipts of a gateway into the ledger; how many said something new. A message that we do not know is somebody else's.

    A receipt that bears our ID proves that the message went out, whatever the ledger says by now: it settles an
    unconfirmed one, and keeps one that waits from going out once more. Of a message that was sent again, what is told of
    an earlier sending does not count, unless that was delivered.
    """
    news = 0
    for receipt in receipts:
        news += await connection.fetchval(
            "select record_receipt($1, $2, $3, $4, $5, $6)",
            gateway,
            receipt.message_id,
            receipt.gateway_message_id,
            receipt.status,
            receipt.at,
            receipt.reason,
        )
    return news
