"""Learns from answers to our sends, and from receipts, which other names a gateway has for a recipient."""

from collections.abc import Sequence
from datetime import datetime

from messaging.common.database import Connection, Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.gateways.webhook_events import InboundMessage, Receipt
from messaging.replies.consequences import Consequences, together
from messaging.replies.record import LOCK_SENDER, act_on_earlier, record_inbound
from messaging.replies.senders import attribute

__all__ = ["learn_from_answer", "learn_from_receipts", "record_answer"]

TOGETHER = 500
"""Names that are looked up at a time."""

# Names that are not known yet, with the recipient of the message that the receipt is about. $5: the gateway.
SELECT_NEW_NAMES = """
select distinct on (t.identity) t.identity, m.recipient_phone as phone, least(t.at, clock_timestamp()) as learned_at
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

SELECT_UNKNOWN_NAMES = """
select name
  from unnest($1::text[]) name
 where not exists (select from identities where identity = name)
 order by name
"""

INSERT_IDENTITY = """
insert into identities (identity, phone, learned_at)
values ($1, $2, $3)
on conflict do nothing
"""


async def learn_from_receipts(
    connection: Connection, gateway: str, receipts: Sequence[Receipt]
) -> Consequences:
    """Notes new names of recipients. What came from one of them before is theirs now, and acted on.

    Do not call this in a transaction.
    """
    named = [(name, receipt) for receipt in receipts for name in receipt.recipient]
    then: list[Consequences] = []
    for start in range(0, len(named), TOGETHER):
        some = named[start : start + TOGETHER]
        found = await connection.fetch(
            SELECT_NEW_NAMES,
            [name for name, _ in some],
            [receipt.message_id for _, receipt in some],
            [receipt.gateway_message_id for _, receipt in some],
            [receipt.at for _, receipt in some],
            gateway,
        )
        then += [await _learn(connection, row["identity"], row["phone"], row["learned_at"]) for row in found]
    return together(then)


async def learn_from_answer(pool: Pool, phone: str, names: Sequence[str], at: datetime) -> None:
    """Notes what a gateway called the recipient ``phone`` when it accepted a message at ``at``.

    If one of these names has said stop or answered before, the recovery sweep tells the workflows.
    """
    async with pool.acquire() as connection:
        for row in await connection.fetch(SELECT_UNKNOWN_NAMES, list(names)):
            await _learn(connection, row["name"], phone, at)


async def record_answer(pool: Pool, gateway: str, device: str, told: InboundMessage) -> None:
    """Records what a gateway's answer to a send says of the recipient. If it opts them out, the recovery sweep tells the
    workflows.
    """
    async with pool.acquire() as connection:
        await record_inbound(connection, gateway, device, [told], DEFAULT_KEYWORDS)


async def _learn(connection: Connection, name: str, phone: str, at: datetime) -> Consequences:
    """Notes a new name of a phone, and acts on what came from that name before."""
    async with connection.transaction():
        await connection.execute(LOCK_SENDER, [name])
        await connection.execute(LOCK_SENDER, [phone])
        await connection.execute(INSERT_IDENTITY, name, phone, at)
        return await act_on_earlier(connection, await attribute(connection, [name], phone), phone)
