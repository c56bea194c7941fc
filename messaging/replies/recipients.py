"""Learns from receipts which other names a gateway has for the recipient of a message of ours."""

from collections.abc import Sequence

from messaging.common.database import Connection
from messaging.gateways.webhook_events import Receipt
from messaging.replies.record import LOCK_SENDER, Stopped, follow
from messaging.replies.senders import attribute

__all__ = ["learn_from_receipts"]

TOGETHER = 500
"""Names that are looked up at a time."""

# Names that are not known yet, with the recipient of the message that the receipt is about. $5: the gateway.
SELECT_NEW_NAMES = """
select distinct on (t.identity) t.identity, m.recipient_phone as phone, least(t.at, clock_timestamp()) as told_at
  from unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[]) as t (identity, message_id, gateway_message_id, at)
 cross join lateral (
       select recipient_phone from broadcast_messages where id = t.message_id
       union all
       select b.recipient_phone
         from broadcast_messages b
         join devices d on d.id = b.device_id
        where b.gateway_message_id = t.gateway_message_id and d.gateway = $5
        limit 1) m
 where t.identity <> 'wa_id:' || ltrim(m.recipient_phone, '+')
   and not exists (select from identities i where i.identity = t.identity)
 order by t.identity, t.at desc
"""

INSERT_IDENTITY = """
insert into identities (identity, phone, told_at)
values ($1, $2, $3)
on conflict do nothing
"""


async def learn_from_receipts(
    connection: Connection, gateway: str, receipts: Sequence[Receipt]
) -> list[Stopped]:
    """Notes new names of recipients. What came from one of them before is theirs now, and followed.

    Answers phones that have said stop before it was known that they are theirs. Not to be called in a transaction.
    """
    told = [(name, receipt) for receipt in receipts for name in receipt.recipient]
    stopped: list[Stopped] = []
    for start in range(0, len(told), TOGETHER):
        some = told[start : start + TOGETHER]
        found = await connection.fetch(
            SELECT_NEW_NAMES,
            [name for name, _ in some],
            [receipt.message_id for _, receipt in some],
            [receipt.gateway_message_id for _, receipt in some],
            [receipt.at for _, receipt in some],
            gateway,
        )
        for row in found:
            async with connection.transaction():
                await connection.execute(LOCK_SENDER, [row["identity"]])
                await connection.execute(LOCK_SENDER, [row["phone"]])
                await connection.execute(INSERT_IDENTITY, row["identity"], row["phone"], row["told_at"])
                for earlier in await attribute(connection, [row["identity"]], row["phone"]):
                    stopped += await follow(connection, row["phone"], earlier)
    return stopped
