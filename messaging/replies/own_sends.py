"""Tells what somebody typed on the device's phone from what Drumbeat sent by it: some gateways report both alike.

A message of ours is known by the gateway's ID. While one is under way, or its outcome is not known, its ID is not known
either; then the text decides. If it does not, the message is taken for ours.
"""

from collections.abc import Sequence

from messaging.common.database import Connection, Record
from messaging.leads.lead import Lead
from messaging.texts.liquid import TemplateProblem, lead_variables, render

__all__ = ["is_own_send"]

SENDABLE = ("text", "image")
"""Kinds of messages that Drumbeat sends."""

# $1: phones, $2: the gateway's ID, $3: the gateway.
IS_KNOWN = """
select exists (select from broadcast_messages m
                 join devices d on d.id = m.device_id
                where m.recipient_phone = any ($1) and d.gateway = $3
                  and $2 = any (m.gateway_message_id || m.earlier_gateway_ids))
"""

# Messages to the phones $1 by the device $2 that may be at the gateway under an ID that is not known.
SELECT_UNKNOWN = """
select m.content, message_contents(m.id, clock_timestamp()) as contents
  from broadcast_messages m
 where m.recipient_phone = any ($1) and device_in_use(m.device_id) = device_in_use($2)
   and (m.status in ('processing', 'unconfirmed') or (m.status = 'sent' and m.gateway_message_id is null))
"""


async def is_own_send(connection: Connection, sent: Record, phones: Sequence[str]) -> bool:
    """True if the stored message ``sent``, from our own number to one of these phones, is or may be Drumbeat's own."""
    if await connection.fetchval(IS_KNOWN, phones, sent["gateway_message_id"], sent["gateway"]):
        return True
    if sent["kind"] not in SENDABLE:
        return False
    rows = await connection.fetch(SELECT_UNKNOWN, phones, sent["device_id"])
    return any(_may_be(row, sent["text"]) for row in rows)


def _may_be(row: Record, text: str | None) -> bool:
    try:
        ours = row["content"]
        if ours is None:
            ours = render(
                row["contents"]["text"], lead_variables(Lead.model_validate(row["contents"]["lead"]))
            )
    except TemplateProblem:
        return True
    return " ".join((text or "").split()) == " ".join(ours.split())
