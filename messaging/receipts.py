"""What gateways tell afterwards: a message was delivered, was read, went wrong late, or did go out when nobody knew."""

import logging
from collections.abc import Iterable

import asyncpg

from messaging.database import Connection, Verdict, verdict_of
from messaging.gateways.base import Receipt
from messaging.say_once import SayOnce

__all__ = ["record_receipts"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())


async def record_receipts(connection: Connection, gateway: str, receipts: Iterable[Receipt]) -> int:
    """Writes receipts of a gateway into the ledger; how many said something new. A message that we do not know is somebody else's.

    A receipt that bears our ID proves that the message went out, whatever the ledger says by now: it settles an
    unconfirmed one, and keeps one that waits from going out once more. Of a message that was sent again, what is told of
    an earlier sending does not count, unless that was delivered. A failure that would meet everybody holds the campaign or
    sequence, and several in a row that are alike hold the device, as the same in an answer does.

    A receipt that the database refuses is passed over, with a line in the log. Raises the database's other errors; what
    was written until then stays, and what is told twice is no news. Not to be called in a transaction.
    """
    news = 0
    for receipt in receipts:
        try:
            news += await connection.fetchval(
                "select record_receipt($1, $2, $3, $4, $5, $6, $7, $8)",
                gateway,
                receipt.message_id,
                receipt.gateway_message_id,
                receipt.status,
                receipt.at,
                receipt.reason,
                receipt.sign,
                receipt.wrong_content,
            )
        except asyncpg.PostgresError as error:
            if verdict_of(error) is not Verdict.WRONG:
                raise
            logger.warning(
                "a receipt of the gateway %s is passed over, the database refuses it: %s", gateway, error
            )
    return news
