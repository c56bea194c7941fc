"""Tells what somebody typed on the device's phone from what Drumbeat sent by it: some gateways report both alike.

A message of ours is known by the gateway's ID. While one is under way, or its outcome is not known, its ID is not known
either; then the text decides. If it does not, the message is taken for ours. The ID of an image that goes out alone, before
a text that is too long for a caption, is never known: an image without words is ours if one may have gone out then.
"""

from collections.abc import Sequence

from messaging.common.database import Connection, Record
from messaging.leads.lead import Lead
from messaging.texts.liquid import TemplateProblem, lead_variables, render

__all__ = ["is_own_send"]

SENDABLE = ("text", "image")
"""Kinds of messages that Drumbeat sends."""

# Messages to the phones $1 that the stored message may be: by its ID at the gateway, $2 and $3; or by what it says, if they
# may be at the gateway under an ID that is not known, whole or with their image. $4: the device; $5: when the stored message
# was sent; clocks differ. All in one statement: a message that is under way gets its ID at any moment.
SELECT_OURS = """
select o.known, o.whole, m.content, case when not o.known then message_contents(m.id, clock_timestamp()) end as contents
  from broadcast_messages m
  join devices d on d.id = m.device_id
 cross join lateral (
       select d.gateway = $3 and coalesce($2 = any (m.gateway_message_id || m.earlier_gateway_ids), false) as known,
              m.status in ('processing', 'unconfirmed') or m.status = 'sent' and m.gateway_message_id is null as whole,
              m.parts_sent > 0 and $5 between m.begun_at - interval '1 minute'
                                          and coalesce(m.answered_at, m.updated_at) + interval '1 minute' as image) o
 where m.recipient_phone = any ($1)
   and (o.known or (o.whole or o.image) and device_in_use(m.device_id) = device_in_use($4))
"""


async def is_own_send(connection: Connection, sent: Record, phones: Sequence[str]) -> bool:
    """True if the stored message ``sent``, from our own number to one of these phones, is or may be Drumbeat's own."""
    told = ("gateway_message_id", "gateway", "device_id", "sent_at")
    rows = await connection.fetch(SELECT_OURS, phones, *(sent[name] for name in told))
    return any(row["known"] or _may_be(row, sent["kind"], sent["text"]) for row in rows)


def _may_be(row: Record, kind: str, text: str | None) -> bool:
    if kind not in SENDABLE:
        return False
    if kind == "image" and not text and row["contents"]["image_url"] is not None:
        return True
    if not row["whole"]:
        return False
    try:
        ours = row["content"]
        if ours is None:
            ours = render(
                row["contents"]["text"], lead_variables(Lead.model_validate(row["contents"]["lead"]))
            )
    except TemplateProblem:
        return True
    return " ".join((text or "").split()) == " ".join(ours.split())
