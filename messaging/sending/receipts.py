"""What gateways tell afterwards: a message was delivered, was read, went wrong late, or did go out, which was unconfirmed."""

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
"""Receipts of one call to the database."""


async def record_receipts(connection: Connection, gateway: str, receipts: Iterable[Receipt]) -> int:
    """Writes receipts of a gateway into the ledger; answers how many said something new. A message that we do not know is another program's.

    A receipt that bears our ID proves that the message went out, whatever the ledger says by now: it settles an
    unconfirmed one, and keeps one that waits from going out once more. Of a message that was sent again, what is told of
    an earlier sending does not count, unless that was delivered. A failure that would meet every recipient holds the campaign or
    sequence, and several in a row that are alike hold the device, as the same in an answer does.

    A receipt that the database refuses is passed over, with a line in the log. Raises the database's other errors; what
    was written until then stays, and what is told twice is no news. Not to be called in a transaction.
    """
    news, told = 0, list(receipts)
    for start in range(0, len(told), BATCH):
        news += await _record(connection, gateway, told[start : start + BATCH])
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
        if len(receipts) > 1:  # one of them: each by itself then
            return sum([await _record(connection, gateway, [receipt]) for receipt in receipts])
        logger.warning(
            "a receipt of the gateway %s is passed over, the database refuses it: %s", gateway, error
        )
        return 0
