"""Receipts of gateways: a message was delivered or read, failed late, or did go out although it was unconfirmed."""

import logging
from collections.abc import Iterable, Sequence

import asyncpg

from messaging.common.database import Connection, Verdict, verdict_of
from messaging.common.say_once import SayOnce
from messaging.gateways.webhook_events import Receipt

__all__ = ["record_receipts"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

BATCH = 200
"""How many receipts one call to the database writes."""


async def record_receipts(connection: Connection, gateway: str, receipts: Iterable[Receipt]) -> int:
    """Writes receipts of a gateway into the ledger; answers how many said something new. A receipt of an unknown
    message belongs to another program.

    A receipt with our ID proves that the message went out, whatever the ledger says: it settles an unconfirmed message,
    and keeps a waiting one from going out a second time. If the message was sent again, a receipt of an earlier send
    does not count, unless it says that the message was delivered. A failure that would meet every recipient pauses the
    campaign or sequence, and several in a row that are alike park the device, just as in a gateway's answers.

    A receipt that the database refuses is skipped, with a line in the log. Raises the database's other errors; what was
    written until then stays, and writing a receipt twice is harmless. Do not call this in a transaction.
    """
    news, left = 0, list(receipts)
    for start in range(0, len(left), BATCH):
        news += await _record(connection, gateway, left[start : start + BATCH])
    return news


async def _record(connection: Connection, gateway: str, receipts: Sequence[Receipt]) -> int:
    try:
        return int(
            await connection.fetchval(
                "call record_receipts($1, $2, $3, $4, $5, $6, $7, $8, 0)",
                gateway,
                [receipt.message_id for receipt in receipts],
                [receipt.gateway_message_id for receipt in receipts],
                [receipt.status for receipt in receipts],
                [receipt.at for receipt in receipts],
                [receipt.reason for receipt in receipts],
                [receipt.sign for receipt in receipts],
                [receipt.wrong_content for receipt in receipts],
            )
        )
    except asyncpg.PostgresError as error:
        if verdict_of(error) is not Verdict.WRONG:
            raise
        if len(receipts) > 1:  # the database refuses one of them: write each by itself
            return sum([await _record(connection, gateway, [receipt]) for receipt in receipts])
        logger.warning(
            "a receipt of the gateway %s is passed over, the database refuses it: %s", gateway, error
        )
        return 0
